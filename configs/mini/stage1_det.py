# Stage 1 on the embedded set: the codec is trained through the frozen mini Faster R-CNN.
#   python tools/train.py configs/mini/stage1_det.py
_base_ = ["../_base_/mini_coco.py", "../_base_/codec_schedule.py"]

# One entry per quality level: lambda of equation (1), and the MSE codec to start from.
levels = [
    dict(lmbda=0.08, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.18, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.32, codec=dict(checkpoint="zoo://mse_2")),
    dict(lmbda=0.50, codec=dict(checkpoint="zoo://mse_2")),
    dict(lmbda=0.70, codec=dict(checkpoint="zoo://mse_3")),
    dict(lmbda=0.90, codec=dict(checkpoint="zoo://mse_4")),
]

detector = "configs/mini/tasks/faster_rcnn.py"
model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96),
    tasks=dict(det=dict(type="MMDetTask", detector=detector, checkpoint="zoo://faster_rcnn")),
)

train_dataloader = dict(batch_size=2)
max_iters = 6000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=3000)
optim_wrapper = dict(main=dict(optimizer=dict(lr=5e-4)))
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]

val_evaluator = [
    dict(type="CodingMetric"),
    dict(
        type="TaskCocoMetric",
        task="det",
        ann_file="data/mini/annotations/val.json",
        metric="bbox",
    ),
]
test_evaluator = val_evaluator
