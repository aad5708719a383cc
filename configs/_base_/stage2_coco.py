# Stage 2 on COCO: the tasks that receivers can be trained for, and how.
_base_ = ["coco.py", "codec_schedule.py"]

stage1 = "work_dirs/stage1_det"
inputs_hint = """
Put COCO 2017 (train2017, val2017, annotations) into data/coco, and the
weights that mmdet's model zoo links into weights/, under their own names.
"""

_annotations = "data/coco/annotations/instances_val2017.json"
tasks = dict(
    det=dict(
        type="MMDetTask",
        detector="mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py",
        checkpoint="weights/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco.pth",
    ),
    segm=dict(
        type="MMDetTask",
        detector="mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py",
        checkpoint="weights/mask_rcnn_r50_fpn_mstrain-poly_3x_coco.pth",
    ),
    human=dict(type="HumanTask", ms_ssim=60.0),
)
evaluators = dict(
    det=dict(type="TaskCocoMetric", task="det", ann_file=_annotations, metric="bbox"),
    segm=dict(type="TaskCocoMetric", task="segm", ann_file=_annotations, metric="segm"),
)
model = dict(type="ReceiverSystem")

max_iters = 30000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=10000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))
