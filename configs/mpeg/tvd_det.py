# Boxes on TVD's pictures.
_base_ = ["_base_/pictures.py", "_base_/networks.py"]
inputs_hint = """
Put TVD's pictures into data/tvd (docs/mpeg.md), then
    vcm-mt prepare tvd
    vcm-mt download configs/mpeg/tvd_det.py
"""
ann_file = "data/tvd/prepared/detection.json"
test_dataloader = dict(dataset=dict(data_root="data/tvd/", ann_file="prepared/detection.json"))
model = dict(tasks=dict(det={{_base_.detector}}))
test_evaluator = [dict(type="TaskCocoMetric", task="det", ann_file=ann_file, metric="bbox")]
ctc = dict(name="TVD detection", scores=["det_AP50", "det_mAP"], anchor="vvc")
