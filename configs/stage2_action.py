# Stage 2 on Kinetics-400: a receiver for the recogniser.
#   vcm-mt finetune --task action --quality 3
_base_ = ["_base_/kinetics400.py", "_base_/codec_schedule.py"]
task = ["action"]
stage1 = "work_dirs/stage1_action"

tasks = {{_base_.kinetics_tasks}}
evaluators = dict(action={{_base_.kinetics_evaluators.action}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 15000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
