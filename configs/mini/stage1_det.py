# Stage 1 on the embedded set: the codec is trained through the frozen mini Faster R-CNN. What it
# adds to the paper's recipe, stage1_det_paper.py, makes few iterations go far, as in `make demo`:
# SOAP, the distance of the detector's feature maps, rounding in place of noise, levels that go on
# from one another.
#   vcm-mt train configs/mini/stage1_det.py
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

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96),
    quantizer="round",
    amp="auto",
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
