# The MSE codec for photographs, for people, at five rates: it goes on from zoo://photos_mse_base.
#   vcm-mt train configs/photos/mse_codec.py --pictures DIR
# A rate of it as a codec of its own: vcm-mt export CHECKPOINT --whole --quality 3 -o FILE
_base_ = "mse_base.py"

model = dict(
    codec=dict(checkpoint="zoo://photos_mse_base"),
    # lambda' of R + lambda' * 255^2 * MSE, as CompressAI counts.
    lmbda=[0.0006 / 1.0006, 0.0015 / 1.0015, 0.0035 / 1.0035, 0.008 / 1.008, 0.018 / 1.018],
    gains=[0.40, 0.65, 1.0, 1.5, 2.2],
    # The square root of the last lambda over lambda, which balances the levels' gradients.
    level_weights=[5.5, 3.5, 2.3, 1.5, 1.0],
)

max_iters = 6000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=1000))
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-3)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.01),
]
