# The short form of stage1_det.py that `make demo` trains: minutes on two cores.
# configs/experiments/demo.py says what is trained and measured after it.
_base_ = "stage1_det.py"

levels = [
    dict(lmbda=0.015, after=2),
    dict(lmbda=0.04, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.1, after=4),
    dict(lmbda=0.26, codec=dict(checkpoint="zoo://mse_3")),
]

# Minutes count here: levels are measured at the end only.
max_iters = 240
train_cfg = dict(max_iters=max_iters, val_begin=max_iters + 1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=120))
