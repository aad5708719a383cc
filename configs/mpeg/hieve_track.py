# Tracking on HiEve's sequences 13, 16 (1080p), 2, 17 and 18 (720p).
_base_ = ["_base_/sequences.py", "_base_/networks.py"]
inputs_hint = """
Put HiEve's sequences into data/hieve (docs/mpeg.md), then
    vcm-mt prepare hieve
    vcm-mt download configs/mpeg/hieve_track.py
"""
ann_file = "data/hieve/prepared/tracking.json"
test_dataloader = dict(
    dataset=dict(
        data_root="data/hieve/",
        ann_file="prepared/tracking.json",
        metainfo=dict(classes=("person",)),
    )
)
model = dict(tasks=dict(track={{_base_.tracker}}))
test_evaluator = [
    dict(type="TaskTrackMetric", task="track", ann_file=ann_file, clear=True, any_class=True)
]
ctc = dict(name="HiEve tracking", scores=["track_MOTA"], anchor="vvc-ra")
