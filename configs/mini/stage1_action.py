# Stage 1 through a frozen SlowFast on clips of the embedded motions: one codec for six rates.
#   vcm-mt prepare motions
#   vcm-mt train configs/mini/stage1_action.py
_base_ = [
    "../_base_/mini_motions.py",
    "../_base_/mini_motion_tasks.py",
    "../_base_/soap_schedule.py",
]

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96, checkpoint="zoo://mse_3"),
    quantizer="round",
    amp="auto",
    lmbda=[0.004, 0.018, 0.04, 0.09, 0.20, 0.45],
    gains=[0.22, 0.30, 0.40, 0.55, 0.75, 1.0],
    # The square root of 0.45 / lambda, which balances the levels' gradients.
    level_weights=[10.6, 5.0, 3.4, 2.2, 1.5, 1.0],
    tasks=dict(action={{_base_.mini_motion_tasks.action}}),
)

train_dataloader = dict(batch_size=1)
max_iters = 2000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
val_evaluator = [{{_base_.mini_motion_evaluators.coding}}, {{_base_.mini_motion_evaluators.action}}]
test_evaluator = val_evaluator
