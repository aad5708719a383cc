# Masks on MPEG's 5,000 pictures of OpenImages v6.
_base_ = ["_base_/pictures.py", "_base_/networks.py"]
inputs_hint = """
Put the pictures and MPEG's tables into data/openimages (docs/mpeg.md), then
    vcm-mt prepare openimages
    vcm-mt download configs/mpeg/openimages_segm.py
"""
ann_file = "data/openimages/prepared/segmentation.json"
test_dataloader = dict(
    dataset=dict(data_root="data/openimages/", ann_file="prepared/segmentation.json")
)
model = dict(tasks=dict(segm={{_base_.segmenter}}))
test_evaluator = [dict(type="TaskOpenImagesMetric", task="segm", ann_file=ann_file, metric="segm")]
ctc = dict(name="OpenImages-v6 segmentation", scores=["segm_oiAP"], anchor="vvc")
