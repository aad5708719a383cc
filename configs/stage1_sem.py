# Stage 1 for semantic segmentation on Cityscapes: mbt2018-mean through DeepLabv3+.
#   vcm-mt train configs/stage1_sem.py --quality 1 2 3 4 5 6
_base_ = ["_base_/cityscapes.py", "_base_/stage1_paper.py"]

model = dict(tasks=dict(sem={{_base_.cityscapes_tasks.sem}}))
val_evaluator = [{{_base_.cityscapes_evaluators.coding}}, {{_base_.cityscapes_evaluators.sem}}]
test_evaluator = val_evaluator
