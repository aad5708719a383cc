# Stage 1 on the photographs: the codec is trained through YOLOX-nano, with COCO's labels.
#   vcm-mt train configs/photos/stage1_det.py
_base_ = [
    "../_base_/photos_coco.py",
    "../_base_/photos_tasks.py",
    "../_base_/soap_schedule.py",
]

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=64, M=96),
    quantizer="round",
    amp="auto",
    lmbda=0.1,
    tasks=dict(det={{_base_.photos_tasks.det}}),
)
max_iters = 1000
train_cfg = dict(type="SkippingTrainLoop", max_iters=max_iters, val_interval=max_iters)
train_dataloader = dict(batch_sampler=dict(type="vcm_mt.AspectRatioBatchSampler"))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
val_evaluator = [{{_base_.photos_evaluators.coding}}, {{_base_.photos_evaluators.det_tune}}]
test_evaluator = [{{_base_.photos_evaluators.coding}}, {{_base_.photos_evaluators.det}}]
