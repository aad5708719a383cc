# The MSE codecs for photographs, for people: each goes on from configs/photos/mse_base.py.
#   vcm-mt train configs/photos/mse_codec.py --pictures DIR
_base_ = "mse_base.py"

# lambda' of R + lambda' * 255^2 * MSE, as CompressAI counts: 0.0008, 0.002, 0.005, 0.0125
levels = [
    dict(lmbda=0.0008 / 1.0008),
    dict(lmbda=0.002 / 1.002),
    dict(lmbda=0.005 / 1.005),
    dict(lmbda=0.0125 / 1.0125),
]
load_from = "work_dirs/photos/mse_base/iter_16000.pth"

max_iters = 6000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
optim_wrapper = dict(main=dict(optimizer=dict(lr=1.5e-3)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.01),
]
