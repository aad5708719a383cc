# Stage 2 on the photographs: the tasks that receivers can be trained for, and how.
_base_ = ["photos_coco.py", "photos_tasks.py", "soap_schedule.py"]

stage1 = "work_dirs/photos/stage1_det"

tasks = {{_base_.photos_tasks}}
evaluators = dict(det={{_base_.photos_evaluators.det_tune}})
test_evaluators = dict(det={{_base_.photos_evaluators.det}})
model = dict(type="ReceiverSystem", amp="auto")

train_dataloader = dict(batch_sampler=dict(type="vcm_mt.AspectRatioBatchSampler"))
max_iters = 600
train_cfg = dict(type="SkippingTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
