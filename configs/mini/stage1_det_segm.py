# Stage 1 on the embedded set through both networks, by the mean of their losses.
#   vcm-mt train configs/mini/stage1_det_segm.py
_base_ = "stage1_det.py"

model = dict(
    tasks=dict(det=dict(weight=0.5), segm=dict(**_base_.mini_tasks.segm, weight=0.5)),
)
val_evaluator = [
    *_base_.val_evaluator,
    {{_base_.mini_evaluators.segm}},
]
test_evaluator = val_evaluator
