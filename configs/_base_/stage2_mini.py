# Stage 2 on the embedded set: the tasks that receivers can be trained for, and how.
_base_ = ["mini_coco.py", "mini_tasks.py", "soap_schedule.py"]

stage1 = "work_dirs/mini/stage1_det"

tasks = {{_base_.mini_tasks}}
evaluators = dict(
    det={{_base_.mini_evaluators.det}},
    segm={{_base_.mini_evaluators.segm}},
    retina={{_base_.mini_evaluators.retina}},
)
model = dict(type="ReceiverSystem", amp="auto")

train_dataloader = dict(batch_size=2)
max_iters = 600
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
