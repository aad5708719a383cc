# Stage 1 for poses on COCO's persons: mbt2018-mean through HRNet-W32.
#   vcm-mt train configs/stage1_pose.py --quality 1 2 3 4 5 6
_base_ = ["_base_/coco_poses.py", "_base_/coco_pose_tasks.py", "_base_/stage1_paper.py"]

model = dict(tasks=dict(pose={{_base_.coco_pose_tasks.pose}}))
val_evaluator = [{{_base_.coco_evaluators.coding}}, {{_base_.coco_evaluators.pose}}]
test_evaluator = val_evaluator

max_iters = 60000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
