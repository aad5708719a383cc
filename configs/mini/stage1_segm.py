# Stage 1 on the embedded set through the frozen mini Mask R-CNN.
#   python tools/train.py configs/mini/stage1_segm.py
_base_ = "stage1_det.py"

model = dict(
    tasks=dict(
        _delete_=True,
        segm=dict(
            type="MMDetTask",
            detector="configs/mini/tasks/mask_rcnn.py",
            checkpoint="zoo://mask_rcnn",
            feature_weight=20.0,
            feature_background=0.0,
            fold=True,
            quick_roi_align=True,
            amp=True,
        ),
    )
)
val_evaluator = [
    dict(type="CodingMetric"),
    dict(
        type="TaskCocoMetric",
        task="segm",
        ann_file="data/mini/annotations/val.json",
        metric="segm",
    ),
]
test_evaluator = val_evaluator
