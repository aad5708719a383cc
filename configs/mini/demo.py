# The short form of stage1_det.py that `make demo` trains: minutes on two cores.
_base_ = "stage1_det.py"

levels = [
    dict(lmbda=0.015, after=2),
    dict(lmbda=0.04, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.1, after=4),
    dict(lmbda=0.26, codec=dict(checkpoint="zoo://mse_3")),
]
measured = [1, 2, 3, 4]
resamples = 500

# What tools/demo.py trains after it, and measures beside it.
stage2 = dict(
    config="configs/mini/stage2_{task}.py",
    tasks=["segm", "human"],
    levels=[3],
    max_iters=60,
)
variable = seeds = None
others = dict()
refine = dict(stage1_det_refined=dict(steps=4, levels=measured, tasks=[]))
mse_codecs = ["zoo://mse_1", "zoo://mse_2", "zoo://mse_3", "zoo://mse_4"]
anchors = ["vvc"]
samples = 2
report = dict(
    title="The demo: a codec trained for minutes through a detector",
    targets=dict(det_mAP=-20.0),
)

# Minutes count here: levels are measured at the end only.
max_iters = 240
train_cfg = dict(max_iters=max_iters, val_begin=max_iters + 1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=120))
