# Stage 2 for tracking on MOT17: a receiver for QDTrack.
#   vcm-mt finetune --task track
_base_ = ["_base_/mot17.py", "_base_/mot17_tasks.py", "_base_/codec_schedule.py"]
task = ["track"]
stage1 = "work_dirs/stage1_track"

tasks = {{_base_.mot17_tasks}}
evaluators = dict(track={{_base_.mot17_evaluators.track}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 15000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
