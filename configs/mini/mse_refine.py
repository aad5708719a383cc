# The MSE codecs of the mini zoo once more, with twice the crops a step: each goes on from
# configs/mini/mse_codec.py.
_base_ = "mse_codec.py"

load_from = "work_dirs/mini/mse_codec/q{quality}/iter_7500.pth"
model = dict(amp=True)
train_dataloader = dict(batch_size=8)

max_iters = 10000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=2000))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.01),
]
