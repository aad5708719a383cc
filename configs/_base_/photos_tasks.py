# What looks at photographs: YOLOX-nano, trained on COCO by its authors, and people.
#   vcm-mt download configs/photos/stage1_det.py     fetches the weights
photos_tasks = dict(
    det=dict(
        type="MMDetTask",
        detector="vcm_mt::photos/tasks/yolox_nano.py",
        checkpoint="weights/yolox_nano.pth",
        # The maps' distance beside the detector's loss: a dense signal, and a kinder one to other
        # networks.
        feature_weight=20.0,
        fold=True,
        amp="auto",
    ),
    human=dict(type="HumanTask"),
)
_tune = "data/photos/annotations/tune.json"
_val = "data/photos/annotations/val.json"
photos_evaluators = dict(
    coding=dict(type="CodingMetric"),
    det_tune=dict(type="TaskCocoMetric", task="det", ann_file=_tune, metric="bbox"),
    det=dict(type="TaskCocoMetric", task="det", ann_file=_val, metric="bbox"),
)
