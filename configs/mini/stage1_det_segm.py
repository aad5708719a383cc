# Stage 1 on the embedded set through both networks, by the mean of their losses.
#   python tools/train.py configs/mini/stage1_det_segm.py
_base_ = "stage1_segm.py"

model = dict(
    tasks=dict(
        segm=dict(weight=0.5),
        det=dict(
            type="MMDetTask",
            detector={{_base_.detector}},
            checkpoint="zoo://faster_rcnn",
            feature_weight=20.0,
            feature_background=0.0,
            fold=True,
            quick_roi_align=True,
            amp=True,
            weight=0.5,
        ),
    )
)
val_evaluator = [
    *_base_.val_evaluator,
    dict(
        type="TaskCocoMetric",
        task="det",
        ann_file="data/mini/annotations/val.json",
        metric="bbox",
    ),
]
test_evaluator = val_evaluator
