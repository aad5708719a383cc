# The paper's stage 1: mbt2018-mean trained through Faster R-CNN X101-32x8d-FPN on COCO 2017,
# six quality levels, everything at native resolution.
#   python tools/train.py configs/stage1_det.py --quality 1 2 3 4 5 6
_base_ = ["_base_/coco.py", "_base_/codec_schedule.py"]

# lambda of equation (1). The paper does not print its values: these are a start, to be
# steered until the rates of its table come out (0.079 ... 0.816 bpp).
levels = [
    dict(lmbda=0.05, codec=dict(quality=1)),
    dict(lmbda=0.10, codec=dict(quality=2)),
    dict(lmbda=0.20, codec=dict(quality=3)),
    dict(lmbda=0.35, codec=dict(quality=4)),
    dict(lmbda=0.55, codec=dict(quality=5)),
    dict(lmbda=0.75, codec=dict(quality=6)),
]

detector = "mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py"
weights = "weights/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco.pth"
inputs_hint = """
Put COCO 2017 (train2017, val2017, annotations) into data/coco; put
the weights of mmdet's faster-rcnn_x101-32x8d_fpn_ms-3x_coco, which its
model zoo links, at weights/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco.pth.
CompressAI downloads the codec's weights by itself.
"""

model = dict(
    type="VCMSystem",
    codec=dict(arch="mbt2018-mean", pretrained=True),
    tasks=dict(det=dict(type="MMDetTask", detector=detector, checkpoint=weights)),
)

max_iters = 60000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=10000)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=2000))

val_evaluator = [
    dict(type="CodingMetric"),
    dict(
        type="TaskCocoMetric",
        task="det",
        ann_file="data/coco/annotations/instances_val2017.json",
        metric="bbox",
    ),
]
test_evaluator = val_evaluator
