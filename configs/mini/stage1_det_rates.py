# Stage 1 on the embedded set with levels given by their rates: lambda is steered while training.
#   vcm-mt train configs/mini/stage1_det_rates.py
_base_ = "stage1_det.py"

# bits per pixel of the validation pictures, lambda to start from, and the codec.
levels = [
    dict(target_bpp=0.04, lmbda=0.004, codec=dict(checkpoint="zoo://mse_1")),
    dict(target_bpp=0.06, lmbda=0.018, codec=dict(checkpoint="zoo://mse_1")),
    dict(target_bpp=0.09, lmbda=0.04, codec=dict(checkpoint="zoo://mse_1")),
    dict(target_bpp=0.13, lmbda=0.09, codec=dict(checkpoint="zoo://mse_2")),
    dict(target_bpp=0.2, lmbda=0.20, codec=dict(checkpoint="zoo://mse_3")),
    dict(target_bpp=0.3, lmbda=0.45, codec=dict(checkpoint="zoo://mse_3")),
]
rate_target = dict(interval=50)

max_iters = 400
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
