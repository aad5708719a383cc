# One codec for all rates on the embedded set: each step draws one of six levels.
#   vcm-mt train configs/mini/stage1_det_vbr.py
# Then any of them when coding: vcm-mt encode ... --quality 3
_base_ = "stage1_det.py"

levels = []
# `make bench-rp` starts it from the trained level 6 in place of the MSE codec.
model = dict(
    lmbda=[0.004, 0.018, 0.04, 0.09, 0.20, 0.45],
    gains=[0.22, 0.30, 0.40, 0.55, 0.75, 1.0],
    # The square root of 0.45 / lambda: without it level 6 has thirty times level 1's gradients.
    level_weights=[10.6, 5.0, 3.4, 2.2, 1.5, 1.0],
    codec=dict(checkpoint="zoo://mse_3"),
)

max_iters = 8000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
