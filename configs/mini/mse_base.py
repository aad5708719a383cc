# A mean-scale hyperprior for people, trained from nothing on crops of the embedded set: the
# start of every codec of the mini zoo.
_base_ = ["../_base_/mini_coco.py", "../_base_/soap_schedule.py"]

crops = dict(type="mmdet.RandomCrop", crop_size=(128, 128), allow_negative_crop=True)

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96),
    tasks=dict(people=dict(type="HumanTask")),
    amp="auto",
    lmbda=0.005 / 1.005,  # 0.005 in R + lmbda * 255^2 * MSE
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
max_iters = 12000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(main=dict(optimizer=dict(lr=2e-3)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=50,
        T_max=max_iters - 50,
        eta_min_ratio=0.01,
    ),
]
default_hooks = dict(checkpoint=dict(interval=2000))
val_evaluator = [dict(type="CodingMetric")]
test_evaluator = val_evaluator
