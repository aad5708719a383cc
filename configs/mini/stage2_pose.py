# Stage 2 on the embedded figures: a receiver for the pose estimator.
#   vcm-mt finetune --task pose --config configs/mini/stage2_pose.py
_base_ = [
    "../_base_/mini_figures.py",
    "../_base_/mini_figure_tasks.py",
    "../_base_/soap_schedule.py",
]
task = ["pose"]
stage1 = "work_dirs/mini/stage1_pose"

tasks = {{_base_.mini_figure_tasks}}
evaluators = dict(pose={{_base_.mini_evaluators.pose}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 600
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
# The shared decoder is an estimator's already: larger steps only make it forget.
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
