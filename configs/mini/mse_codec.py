# The MSE codecs of the mini zoo, for people: each goes on from configs/mini/mse_base.py.
_base_ = "mse_base.py"

# lambda' of R + lambda' * 255^2 * MSE, as CompressAI counts: 0.0015, 0.005, 0.015, 0.045
levels = [
    dict(lmbda=0.0015 / 1.0015),
    dict(lmbda=0.005 / 1.005),
    dict(lmbda=0.015 / 1.015),
    dict(lmbda=0.045 / 1.045),
]
load_from = "work_dirs/mini/mse_base/iter_10000.pth"

max_iters = 2500
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(main=dict(optimizer=dict(lr=2e-4)))
param_scheduler = [
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        T_max=max_iters,
        eta_min_ratio=0.02,
    ),
]
