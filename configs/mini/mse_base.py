# A mean-scale hyperprior for people, trained from nothing on crops of the embedded set: the
# start of every codec of the mini zoo.
_base_ = ["../_base_/mini_coco.py", "../_base_/codec_schedule.py"]

crops = dict(type="mmdet.RandomCrop", crop_size=(128, 128), allow_negative_crop=True)

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96),
    tasks=dict(people=dict(type="HumanTask")),
    lmbda=0.0148,  # 0.015 in R + lmbda * 255^2 * MSE
)

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            {{_base_.load_picture}},
            dict(type="mmdet.RandomFlip", prob=0.5, direction=["horizontal", "vertical"]),
            crops,
            {{_base_.pack}},
        ]
    ),
)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=10000, val_interval=5000)
optim_wrapper = dict(main=dict(optimizer=dict(lr=5e-4)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=300),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=300, T_max=9700, eta_min_ratio=0.02),
]
val_evaluator = [dict(type="CodingMetric")]
test_evaluator = val_evaluator
