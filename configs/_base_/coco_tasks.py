# What looks at pictures of COCO: the detector and segmenter that mmdet publishes, and people.
#   vcm-mt download configs/stage1_det_segm.py     fetches the weights
inputs_hint = """
Put COCO 2017 (train2017, val2017, annotations; https://cocodataset.org) into
data/coco. The weights: vcm-mt download CONFIG fetches and checks them.
"""

# The same loss in less time (make bench-train).
_quick = dict(fold=True, fast_roi_align=True, amp="auto")
_annotations = "data/coco/annotations/instances_val2017.json"
coco_tasks = dict(
    det=dict(
        type="MMDetTask",
        detector="mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py",
        checkpoint="weights/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco_20210604_182954-002e082a.pth",
        **_quick,
    ),
    segm=dict(
        type="MMDetTask",
        detector="mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py",
        checkpoint="weights/mask_rcnn_r50_fpn_mstrain-poly_3x_coco_20210524_201154-21b550bb.pth",
        **_quick,
    ),
    human=dict(type="HumanTask", ms_ssim=60.0),
)
coco_evaluators = dict(
    coding=dict(type="CodingMetric"),
    det=dict(type="TaskCocoMetric", task="det", ann_file=_annotations, metric="bbox"),
    segm=dict(type="TaskCocoMetric", task="segm", ann_file=_annotations, metric="segm"),
)
