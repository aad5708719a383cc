# Tracking on TVD's clips, in the parts that VCM codes.
_base_ = ["_base_/sequences.py", "_base_/networks.py"]
inputs_hint = """
Put TVD's clips into data/tvd (docs/mpeg.md), then
    vcm-mt prepare tvd
    vcm-mt download configs/mpeg/tvd_track.py
"""
ann_file = "data/tvd/prepared/tracking.json"
test_dataloader = dict(
    dataset=dict(
        data_root="data/tvd/",
        ann_file="prepared/tracking.json",
        metainfo=dict(classes=("person",)),
    )
)
model = dict(tasks=dict(track={{_base_.tracker}}))
test_evaluator = [
    dict(type="TaskTrackMetric", task="track", ann_file=ann_file, clear=True, any_class=True)
]
ctc = dict(name="TVD tracking", scores=["track_MOTA"], anchor="vvc-ra")
