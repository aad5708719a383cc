# Stage 2 on COCO: the tasks that receivers can be trained for, and how.
_base_ = ["coco.py", "coco_tasks.py", "codec_schedule.py"]

stage1 = "work_dirs/stage1_det"

tasks = {{_base_.coco_tasks}}
evaluators = dict(det={{_base_.coco_evaluators.det}}, segm={{_base_.coco_evaluators.segm}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 30000
train_cfg = dict(type="SkippingTrainLoop", max_iters=max_iters, val_interval=10000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
