# For detection, segmentation and people together, with stage1_det_paper.py's levels: what
# `tools/demo.py --paper` refines latents through, each task behind its own receiver of stage 2.
_base_ = "stage1_det_paper.py"

model = dict(
    tasks=dict(
        det=dict(feature_weight=20.0, weight=0.5),
        segm=dict(
            type="MMDetTask",
            detector="configs/mini/tasks/mask_rcnn.py",
            checkpoint="zoo://mask_rcnn",
            feature_weight=20.0,
            feature_background=0.0,
            fold=True,
            quick_roi_align=True,
            amp=True,
            weight=0.5,
        ),
        human=dict(type="HumanTask", weight=0.01),
    )
)
