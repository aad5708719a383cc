# Stage 1 for the actions of persons on AVA: mbt2018-mean through SlowFast.
#   vcm-mt train configs/stage1_persons.py --quality 1 2 3 4 5 6
_base_ = ["_base_/ava.py", "_base_/codec_schedule.py"]

levels = [
    dict(lmbda=0.05, codec=dict(quality=1)),
    dict(lmbda=0.10, codec=dict(quality=2)),
    dict(lmbda=0.20, codec=dict(quality=3)),
    dict(lmbda=0.35, codec=dict(quality=4)),
    dict(lmbda=0.55, codec=dict(quality=5)),
    dict(lmbda=0.75, codec=dict(quality=6)),
]
model = dict(
    type="VCMSystem",
    codec=dict(arch="mbt2018-mean", pretrained=True),
    amp="auto",
    tasks=dict(persons={{_base_.ava_tasks.persons}}),
)

max_iters = 30000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=10000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
val_evaluator = [{{_base_.ava_evaluators.coding}}, {{_base_.ava_evaluators.persons}}]
test_evaluator = val_evaluator
