# What looks at the embedded videos: a tracker, a detector, and people.
_trained_through = dict(
    feature_weight=20.0, feature_background=0.0, fold=True, fast_roi_align=True, amp="auto"
)
_detector = dict(
    type="MMDetTask",
    detector="vcm_mt::mini/tasks/faster_rcnn.py",
    checkpoint="zoo://faster_rcnn",
    **_trained_through,
)
_annotations = "data/mini_videos/annotations/val.json"
mini_video_tasks = dict(
    track=dict(
        type="MMTrackTask",
        tracker="vcm_mt::mini/tasks/qdtrack.py",
        checkpoint="zoo://qdtrack",
        **_trained_through,
    ),
    det=_detector,
    human=dict(type="HumanTask"),
    # Nobody's codec is trained through this one.
    byte=dict(
        type="MMTrackTask",
        tracker="vcm_mt::_base_/mini_bytetrack.py",
        checkpoint="zoo://faster_rcnn",
    ),
)
# For a temporal prior, whose rate is what is to be learnt: more of the task drowns it.
mini_prior_task = dict(weight=0.02, **_detector)
mini_video_evaluators = dict(
    coding=dict(type="CodingMetric"),
    track=dict(type="TaskTrackMetric", task="track", ann_file=_annotations),
    det=dict(type="TaskCocoMetric", task="det", ann_file=_annotations, metric="bbox"),
    byte=dict(type="TaskTrackMetric", task="byte", ann_file=_annotations),
)
