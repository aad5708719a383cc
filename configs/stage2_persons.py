# Stage 2 on AVA: a receiver for the network that tells what persons do.
#   vcm-mt finetune --task persons --quality 3
_base_ = ["_base_/ava.py", "_base_/codec_schedule.py"]
task = ["persons"]
stage1 = "work_dirs/stage1_persons"

tasks = {{_base_.ava_tasks}}
evaluators = dict(persons={{_base_.ava_evaluators.persons}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 15000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
