# Stage 2 on Cityscapes: a receiver for the segmenter.
#   vcm-mt finetune --task sem --quality 3
_base_ = ["_base_/cityscapes.py", "_base_/codec_schedule.py"]
task = ["sem"]
stage1 = "work_dirs/stage1_sem"

tasks = {{_base_.cityscapes_tasks}}
evaluators = dict(sem={{_base_.cityscapes_evaluators.sem}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 15000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
