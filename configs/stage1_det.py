# The paper's stage 1: the codec is trained through Faster R-CNN X101-32x8d-FPN.
#   vcm-mt train configs/stage1_det.py --quality 1 2 3 4 5 6
_base_ = "_base_/stage1_coco.py"

model = dict(tasks=dict(det={{_base_.coco_tasks.det}}))
val_evaluator = [{{_base_.coco_evaluators.coding}}, {{_base_.coco_evaluators.det}}]
test_evaluator = val_evaluator
