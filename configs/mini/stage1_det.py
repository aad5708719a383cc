# Stage 1 on the embedded set: the codec is trained through the frozen mini Faster R-CNN.
#   python tools/train.py configs/mini/stage1_det.py
_base_ = [
    "../_base_/mini_coco.py",
    "../_base_/mini_tasks.py",
    "../_base_/soap_schedule.py",
]

# One entry per quality level: lambda of equation (1), and the MSE codec to start from, or the
# level after which to go on. Two chains, from high rates to low ones, for two cores.
levels = [
    dict(lmbda=0.004, after=2),
    dict(lmbda=0.018, after=3),
    dict(lmbda=0.04, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.09, after=5),
    dict(lmbda=0.20, after=6),
    dict(lmbda=0.45, codec=dict(checkpoint="zoo://mse_3")),
]
measured = [1, 2, 3, 4, 5, 6]

# What tools/demo.py measures beside it, and what it trains after it.
anchors = ["vvc", "hevc@47,42,37,32,27", "av1@59,51,43,35,27", "jpeg@5,10,20,35,55,75"]
samples = 2
resamples = 1000
report = dict(
    title="A codec trained through a detector, on the embedded set",
    targets=dict(det_mAP=-61.16, segm_mAP=-58.43),
    notes=[
        "The targets are the source paper's figures, on COCO with VTM as the anchor and a codec of "
        "7 million parameters; here six codecs of 1.3 million are trained in some "
        "seventy minutes on two cores.",
        "Curves named refined: the transmitter goes on from g_a's latent for each picture, eight "
        "steps of gradient descent on equation (1), with what the frozen detector finds in the "
        "original as truth (no annotations). The format, the tables and the receivers stay as they "
        "are. Networks that it was not refined through gain as well: the Mask R-CNN and RetinaNet "
        "here. Curves named refined_joint: the same codec, trained for detection only, refined "
        "through the detector and the Mask R-CNN, by the mean of their losses, in four steps, "
        "which take about as long as eight through one.",
        "What else was tried, and kept: SOAP in place of Adam for the codec, steps of a saturated "
        "gradient in place of Adam's for the latents; the distance of the detector's "
        "feature maps on the objects beside its own loss; the rate of rounded latents in place of "
        "noise; levels that go on from higher rates. An earlier, longer training (6,000 to 15,000 "
        "iterations a level) was worth -40.0 % for detection without refinement, as the mean of "
        "two trainings' weights -41.1 %.",
        "Tried and left out: a context network of three 7x7 blocks behind g_a, a dead zone in the "
        "quantiser, the mean of successive repetitions' weights; N=72 and M=144, widened from the "
        "zoo's codec so that they start from the same pictures and bits: at level 3, after 1,000 "
        "iterations, 0.0955 bpp and 47.1 mAP beside 0.0940 and 47.0, at half as much time a step "
        "again. Not tried: longer MSE pretraining than the zoo's, larger pictures.",
        "Headers weigh on pictures this small: 17 bytes of ours are 5 % of level 1's rate, VVC's "
        "74 bytes are 16 % of its rate at QP 47. The BD-rates without both stand in the table.",
    ],
)
# One codec for all rates beside the single ones: where it starts, and its receivers.
variable = dict(config="configs/mini/stage1_det_vbr.py", after=6, tasks=["segm"])
# Levels that went on through another network, for the matrix of who is trained for whom.
others = dict(
    stage1_segm=dict(config="configs/mini/stage1_segm.py", levels=[2, 3, 4, 5], max_iters=300),
)
# One level, and its receiver, with other seeds than the first, 0.
seeds = dict(level=3, seeds=[1, 2], tasks=["segm"])
# Curves with each picture's latent refined: by how many steps, whose receivers, through which
# config's tasks if not this one's.
refine = dict(
    stage1_det_refined=dict(steps=8, levels=[1, 2, 3, 4, 5, 6], tasks=["segm"]),
    stage1_det_refined_joint=dict(
        config="configs/mini/stage1_det_segm.py",
        steps=4,
        levels=[1, 2, 3, 4, 5, 6],
        tasks=["segm"],
    ),
)
mse_codecs = ["zoo://mse_1", "zoo://mse_2", "zoo://mse_3", "zoo://mse_4"]
stage2 = dict(
    config="configs/mini/stage2_{task}.py",
    tasks=["segm", "det", "human"],
    levels=[1, 2, 3, 4, 5, 6],
    max_iters=300,
)

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96),
    quantizer="round",
    amp=True,
    tasks=dict(det={{_base_.mini_tasks.det}}),
)

train_dataloader = dict(batch_size=2)
max_iters = 4000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]

val_evaluator = [{{_base_.mini_evaluators.coding}}, {{_base_.mini_evaluators.det}}]
test_evaluator = val_evaluator
