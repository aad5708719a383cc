# The MSE codecs of the mini zoo, for people: each goes on from configs/mini/mse_base.py.
_base_ = "mse_base.py"

# lambda' of R + lambda' * 255^2 * MSE, as CompressAI counts: 0.001, 0.003, 0.008, 0.02
levels = [
    dict(lmbda=0.001 / 1.001),
    dict(lmbda=0.003 / 1.003),
    dict(lmbda=0.008 / 1.008),
    dict(lmbda=0.02 / 1.02),
]
load_from = "work_dirs/mini/mse_base/iter_12000.pth"

max_iters = 7500
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
optim_wrapper = dict(main=dict(optimizer=dict(lr=1.5e-3)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.01),
]
