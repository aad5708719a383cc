# refine_det.py for a detector and a segmenter together, by the mean of their losses.
_base_ = "refine_det.py"

model = dict(tasks=dict(det=dict(weight=0.5), segm=dict(**_base_.mini_tasks.segm, weight=0.5)))
val_evaluator = [*_base_.val_evaluator, {{_base_.mini_evaluators.segm}}]
test_evaluator = val_evaluator
