# The short form of stage1_det.py that `make demo` trains: minutes on two cores.
_base_ = "stage1_det.py"

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=150))
