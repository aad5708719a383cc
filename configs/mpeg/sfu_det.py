# Boxes on SFU-HW-Objects-v1, random access; --anchor vvc-ld or vtm-ld for low delay.
_base_ = ["_base_/sequences.py", "_base_/networks.py"]
inputs_hint = """
Put the raw sequences and SFU's labels into data/sfu (docs/mpeg.md), then
    vcm-mt prepare sfu
    vcm-mt download configs/mpeg/sfu_det.py
"""
ann_file = "data/sfu/prepared/sfu.json"
test_dataloader = dict(dataset=dict(data_root="data/sfu/", ann_file="prepared/sfu.json"))
model = dict(tasks=dict(det={{_base_.detector}}))
test_evaluator = [dict(type="TaskCocoMetric", task="det", ann_file=ann_file, metric="bbox")]
ctc = dict(name="SFU-HW-Objects-v1", scores=["det_mAP", "det_AP50"], anchor="vvc-ra")
