# Stage 2 on the embedded set: the tasks that receivers can be trained for, and how.
_base_ = ["mini_coco.py", "soap_schedule.py"]

stage1 = "work_dirs/mini/stage1_det"

_annotations = "data/mini/annotations/val.json"
# As in stage 1, a dense signal beside the losses; see configs/mini/stage1_det.py.
_dense = dict(
    feature_weight=20.0, feature_background=0.0, fold=True, quick_roi_align=True, amp=True
)
tasks = dict(
    det=dict(
        type="MMDetTask",
        detector="configs/mini/tasks/faster_rcnn.py",
        checkpoint="zoo://faster_rcnn",
        **_dense,
    ),
    segm=dict(
        type="MMDetTask",
        detector="configs/mini/tasks/mask_rcnn.py",
        checkpoint="zoo://mask_rcnn",
        **_dense,
    ),
    human=dict(type="HumanTask"),
    # Nobody's codec is trained through this one: it shows what a bitstream is worth to strangers.
    retina=dict(
        type="MMDetTask",
        detector="configs/mini/tasks/retinanet.py",
        checkpoint="zoo://retinanet",
    ),
)
evaluators = dict(
    det=dict(type="TaskCocoMetric", task="det", ann_file=_annotations, metric="bbox"),
    segm=dict(type="TaskCocoMetric", task="segm", ann_file=_annotations, metric="segm"),
    retina=dict(type="TaskCocoMetric", task="retina", ann_file=_annotations, metric="bbox"),
)
model = dict(type="ReceiverSystem", amp=True)

train_dataloader = dict(batch_size=2)
max_iters = 600
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
