# What looks at pictures of the embedded set: the zoo's frozen networks, and people.

# A few thousand noisy steps of a detector's loss teach a codec little; the distance of its feature
# maps on the objects is a dense signal beside it. The rest is the same loss and gradient in less
# time (make bench-train).
_trained_through = dict(
    feature_weight=20.0, feature_background=0.0, fold=True, fast_roi_align=True, amp="auto"
)
_annotations = "data/mini/annotations/val.json"
mini_tasks = dict(
    det=dict(
        type="MMDetTask",
        detector="vcm_mt::mini/tasks/faster_rcnn.py",
        checkpoint="zoo://faster_rcnn",
        **_trained_through,
    ),
    segm=dict(
        type="MMDetTask",
        detector="vcm_mt::mini/tasks/mask_rcnn.py",
        checkpoint="zoo://mask_rcnn",
        **_trained_through,
    ),
    human=dict(type="HumanTask"),
    # Nobody's codec is trained through this one: it shows what a bitstream is worth to strangers.
    retina=dict(
        type="MMDetTask",
        detector="vcm_mt::mini/tasks/retinanet.py",
        checkpoint="zoo://retinanet",
    ),
)
mini_evaluators = dict(
    coding=dict(type="CodingMetric"),
    det=dict(type="TaskCocoMetric", task="det", ann_file=_annotations, metric="bbox"),
    segm=dict(type="TaskCocoMetric", task="segm", ann_file=_annotations, metric="segm"),
    retina=dict(type="TaskCocoMetric", task="retina", ann_file=_annotations, metric="bbox"),
)
