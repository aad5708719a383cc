# Stage 2 for poses on COCO's persons: a receiver for HRNet-W32.
#   vcm-mt finetune --task pose
_base_ = ["_base_/coco_poses.py", "_base_/coco_pose_tasks.py", "_base_/codec_schedule.py"]
task = ["pose"]
stage1 = "work_dirs/stage1_pose"

tasks = {{_base_.coco_pose_tasks}}
evaluators = dict(pose={{_base_.coco_evaluators.pose}})
model = dict(type="ReceiverSystem", amp="auto")

max_iters = 30000
train_cfg = dict(type="SkippingTrainLoop", max_iters=max_iters, val_interval=10000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
