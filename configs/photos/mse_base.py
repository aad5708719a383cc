# A mean-scale hyperprior for people, trained from nothing on crops of the photographs: the start
# of every codec for photographs. zoo.json says which steps zoo://photos_mse_base has had.
#   vcm-mt train configs/photos/mse_base.py --pictures DIR
_base_ = ["../_base_/photos_coco.py", "../_base_/soap_schedule.py"]

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=64, M=96),
    tasks=dict(people=dict(type="HumanTask")),
    amp="auto",
    lmbda=0.0035 / 1.0035,  # 0.0035 in R + lmbda * 255^2 * MSE
)

train_dataloader = dict(
    batch_size=6,
    dataset=dict(
        pipeline=[
            {{_base_.load_picture}},
            dict(type="mmdet.RandomFlip", prob=0.5, direction=["horizontal", "vertical"]),
            dict(
                type="mmdet.RandomResize", scale=(640, 640), ratio_range=(0.6, 1.2), keep_ratio=True
            ),
            # A multiple of 64: no step is spent on a padded border.
            dict(type="mmdet.RandomCrop", crop_size=(192, 192), allow_negative_crop=True),
            {{_base_.pack}},
        ]
    ),
)
max_iters = 16000
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
default_hooks = dict(checkpoint=dict(interval=1000))
val_evaluator = [dict(type="CodingMetric")]
test_evaluator = val_evaluator
