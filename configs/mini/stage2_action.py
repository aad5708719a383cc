# Stage 2 on the embedded motions: a receiver for the recogniser.
#   vcm-mt finetune --task action --config configs/mini/stage2_action.py
_base_ = [
    "../_base_/mini_motions.py",
    "../_base_/mini_motion_tasks.py",
    "../_base_/soap_schedule.py",
]
task = ["action"]
stage1 = "work_dirs/mini/stage1_action"

tasks = {{_base_.mini_motion_tasks}}
evaluators = dict(action={{_base_.mini_motion_evaluators.action}})
model = dict(type="ReceiverSystem", amp="auto")

train_dataloader = dict(batch_size=1)
max_iters = 600
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
