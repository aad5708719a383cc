# Boxes on MPEG's 5,000 pictures of OpenImages v6.
_base_ = ["_base_/pictures.py", "_base_/networks.py"]
inputs_hint = """
Put the pictures and MPEG's tables into data/openimages (docs/mpeg.md), then
    vcm-mt prepare openimages
    vcm-mt download configs/mpeg/openimages_det.py
"""
ann_file = "data/openimages/prepared/detection.json"
test_dataloader = dict(
    dataset=dict(data_root="data/openimages/", ann_file="prepared/detection.json")
)
model = dict(tasks=dict(det={{_base_.detector}}))
test_evaluator = [dict(type="TaskOpenImagesMetric", task="det", ann_file=ann_file, metric="bbox")]
ctc = dict(name="OpenImages-v6 detection", scores=["det_oiAP"], anchor="vvc")
