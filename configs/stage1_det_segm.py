# Stage 1 for both tasks at once: one codec, one decoder, the mean of both networks' losses.
#   vcm-mt train configs/stage1_det_segm.py
_base_ = "_base_/stage1_coco.py"

model = dict(
    tasks=dict(
        det=dict(**_base_.coco_tasks.det, weight=0.5),
        segm=dict(**_base_.coco_tasks.segm, weight=0.5),
    )
)
val_evaluator = list(_base_.coco_evaluators.values())
test_evaluator = val_evaluator
