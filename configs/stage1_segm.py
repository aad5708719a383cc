# Stage 1 for instance segmentation: the codec is trained through Mask R-CNN R50-FPN.
#   vcm-mt train configs/stage1_segm.py
_base_ = "_base_/stage1_coco.py"

model = dict(tasks=dict(segm={{_base_.coco_tasks.segm}}))
val_evaluator = [{{_base_.coco_evaluators.coding}}, {{_base_.coco_evaluators.segm}}]
test_evaluator = val_evaluator
