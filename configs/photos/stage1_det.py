# Stage 1 on the photographs: one codec for six rates, through YOLOX-nano with COCO's labels.
#   vcm-mt train configs/photos/stage1_det.py
# A rate of it as a codec of its own: vcm-mt export CHECKPOINT --whole --quality 3 -o FILE
_base_ = [
    "../_base_/photos_coco.py",
    "../_base_/photos_tasks.py",
    "../_base_/soap_schedule.py",
]

model = dict(
    type="VCMSystem",
    # At two thirds of the size: the detector scales pictures down itself.
    codec=dict(
        arch="MeanScaleHyperprior", N=64, M=96, downscale=1.5, checkpoint="zoo://photos_mse_base"
    ),
    quantizer="round",
    amp="auto",
    lmbda=[0.004, 0.012, 0.034, 0.08, 0.15, 0.24],
    gains=[0.25, 0.36, 0.50, 0.70, 1.0, 1.35],
    # The square root of 0.24 / lambda, which balances the levels' gradients.
    level_weights=[7.7, 4.5, 2.7, 1.7, 1.3, 1.0],
    tasks=dict(
        det={{_base_.photos_tasks.det}},
        # Through a decoder of its own, so that the shared one is the detector's alone: it keeps in
        # the bits what people and other networks need, at a quarter of what an MSE codec pays.
        people=dict(type="HumanTask", weight=0.005, receiver="human"),
    ),
)

train_dataloader = dict(batch_size=2, batch_sampler=dict(type="vcm_mt.AspectRatioBatchSampler"))
max_iters = 1500
train_cfg = dict(type="SkippingTrainLoop", max_iters=max_iters, val_interval=max_iters)
# 2e-4 diverges after some fifteen hundred steps of two pictures.
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
val_evaluator = [{{_base_.photos_evaluators.coding}}, {{_base_.photos_evaluators.det_tune}}]
test_evaluator = [{{_base_.photos_evaluators.coding}}, {{_base_.photos_evaluators.det}}]
