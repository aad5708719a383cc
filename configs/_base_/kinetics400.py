# Kinetics-400 (https://github.com/cvdfoundation/kinetics-dataset) as mmaction2 lists it, taken
# apart into frames:
#   vcm-mt prepare clips --clips data/kinetics400/videos_train \
#       --list data/kinetics400/kinetics400_train_list_videos.txt --out data/kinetics400/train
# and so for val. What looks at it: the SlowFast that mmaction2 publishes, and people.
inputs_hint = """
Put Kinetics-400's videos and mmaction2's lists of them into data/kinetics400, then
    vcm-mt prepare clips ...   (configs/_base_/kinetics400.py has the lines)
The weights: vcm-mt download CONFIG fetches and checks them.
"""
_pipeline = [dict(type="vcm_mt.LoadPicture"), dict(type="vcm_mt.PackFrame")]
_frames = dict(
    type="vcm_mt.VideoDataset",
    metainfo=dict(classes=()),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=_pipeline,
)
_workers = dict(
    num_workers=2, persistent_workers=True, worker_init_fn=dict(type="vcm_mt.end_with_parent")
)
train_frames = dict(
    data_root="data/kinetics400/train/",
    ann_file="annotations/kinetics400_train_list_videos.json",
    data_prefix=dict(img=""),
    **_frames,
)
# Clips of 32 frames, two apart, as the network samples them.
train_dataloader = dict(
    batch_size=1,
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    collate_fn=dict(type="vcm_mt.flat_collate"),
    dataset=dict(type="vcm_mt.ClipDataset", dataset=train_frames, frames=32, step=2),
    **_workers,
)
# Frames in order, of whole videos.
_annotations = "data/kinetics400/val/annotations/kinetics400_val_list_videos.json"
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="vcm_mt.VideoSampler"),
    dataset=dict(
        data_root="data/kinetics400/val/",
        ann_file="annotations/kinetics400_val_list_videos.json",
        data_prefix=dict(img=""),
        test_mode=True,
        **_frames,
    ),
    **_workers,
)
test_dataloader = val_dataloader

kinetics_tasks = dict(
    action=dict(
        type="MMActionTask",
        recognizer="mmaction::recognition/slowfast/"
        "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py",
        checkpoint="weights/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb_20220901-701b0f6f.pth",
    ),
    human=dict(type="HumanTask"),
)
kinetics_evaluators = dict(
    coding=dict(type="CodingMetric"),
    action=dict(type="TaskActionMetric", task="action", ann_file=_annotations),
)
