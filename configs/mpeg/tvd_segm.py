# Masks on TVD's pictures.
_base_ = ["_base_/pictures.py", "_base_/networks.py"]
inputs_hint = """
Put TVD's pictures into data/tvd (docs/mpeg.md), then
    vcm-mt prepare tvd
    vcm-mt download configs/mpeg/tvd_segm.py
"""
ann_file = "data/tvd/prepared/segmentation.json"
test_dataloader = dict(dataset=dict(data_root="data/tvd/", ann_file="prepared/segmentation.json"))
model = dict(tasks=dict(segm={{_base_.segmenter}}))
test_evaluator = [dict(type="TaskCocoMetric", task="segm", ann_file=ann_file, metric="segm")]
ctc = dict(name="TVD segmentation", scores=["segm_AP50", "segm_mAP"], anchor="vvc")
