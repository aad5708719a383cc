# Boxes on MPEG's thermal pictures of FLIR. The fine-tuned detector is MPEG's, or one's own.
_base_ = "_base_/pictures.py"
inputs_hint = """
Put FLIR's thermal pictures into data/flir (docs/mpeg.md), then
    vcm-mt prepare flir
The detector is Faster R-CNN X101-32x8d-FPN of COCO fine-tuned to person, bicycle and car, which
nobody publishes in mmdet's form: put yours at weights/flir_faster_rcnn_x101.pth.
"""
ann_file = "data/flir/prepared/flir.json"
test_dataloader = dict(
    dataset=dict(
        data_root="data/flir/",
        ann_file="prepared/flir.json",
        metainfo=dict(classes=("person", "bicycle", "car")),
    )
)
model = dict(
    tasks=dict(
        det=dict(
            type="MMDetTask",
            detector="vcm_mt::mpeg/tasks/flir_faster_rcnn.py",
            checkpoint="weights/flir_faster_rcnn_x101.pth",
        )
    )
)
test_evaluator = [dict(type="TaskCocoMetric", task="det", ann_file=ann_file, metric="bbox")]
ctc = dict(name="FLIR", scores=["det_AP50", "det_mAP"], anchor="vvc")
