# Stage 1 on the embedded set through the frozen mini Mask R-CNN.
#   vcm-mt train configs/mini/stage1_segm.py
_base_ = "stage1_det.py"

model = dict(tasks=dict(_delete_=True, segm={{_base_.mini_tasks.segm}}))
val_evaluator = [{{_base_.mini_evaluators.coding}}, {{_base_.mini_evaluators.segm}}]
test_evaluator = val_evaluator
