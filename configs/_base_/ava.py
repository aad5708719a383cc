# AVA 2.1 (https://research.google.com/ava) as mmaction2 lays it out: its tables and lists, and the
# frames of its videos from the 15th to the 30th minute at 30 a second.
#   vcm-mt prepare ava --clips data/ava/rawframes --list data/ava/annotations/ava_train_v2.1.csv \
#       --exclude data/ava/annotations/ava_train_excluded_timestamps_v2.1.csv --frames 32
#   vcm-mt prepare ava --clips data/ava/rawframes --list data/ava/annotations/ava_val_v2.1.csv \
#       --exclude data/ava/annotations/ava_val_excluded_timestamps_v2.1.csv --frames 4 \
#       --actions data/ava/annotations/ava_action_list_v2.1_for_activitynet_2018.pbtxt
# Every frame around a key frame is coded: without --frames all of AVA is listed, millions of them.
# What looks at it: the SlowFast that mmaction2 publishes, and people.
inputs_hint = """
Put AVA's frames and tables into data/ava (rawframes, annotations; mmaction2's tools/data/ava
says how), then
    vcm-mt prepare ava ...   (configs/_base_/ava.py has the lines)
The weights: vcm-mt download CONFIG fetches and checks them.
"""
_frames = dict(
    type="vcm_mt.AVAFrames",
    data_root="data/ava/",
    data_prefix=dict(img="rawframes/"),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=[
        dict(type="vcm_mt.LoadPicture"),
        dict(type="vcm_mt.LoadAnnotations", with_bbox=True),
        dict(type="vcm_mt.PackFrame"),
    ],
)
_workers = dict(
    num_workers=2, persistent_workers=True, worker_init_fn=dict(type="vcm_mt.end_with_parent")
)
# Clips of 32 frames around a key frame, two apart, as the network samples them.
train_dataloader = dict(
    batch_size=1,
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    collate_fn=dict(type="vcm_mt.flat_collate"),
    dataset=dict(
        type="vcm_mt.ClipDataset",
        dataset=dict(ann_file="annotations/ava_train_v2.1.json", **_frames),
        frames=32,
        step=2,
        around=True,
    ),
    **_workers,
)
# Frames in order, and one process.
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(ann_file="annotations/ava_val_v2.1.json", test_mode=True, **_frames),
    **_workers,
)
test_dataloader = val_dataloader

ava_tasks = dict(
    # Actions are looked for in the annotated boxes. For those of a detector in the decoded frame:
    #   boxes=dict(detector="mmdet::faster_rcnn/...", checkpoint="weights/...", score=0.8)
    persons=dict(
        type="MMActionPersonsTask",
        recognizer="mmaction::detection/slowfast/"
        "slowfast_kinetics400-pretrained-r50_8xb8-8x8x1-20e_ava21-rgb.py",
        checkpoint="weights/"
        "slowfast_kinetics400-pretrained-r50_8xb8-8x8x1-20e_ava21-rgb_20220906-39133ec7.pth",
    ),
    human=dict(type="HumanTask"),
)
ava_evaluators = dict(
    coding=dict(type="CodingMetric"),
    persons=dict(
        type="TaskFrameActionMetric",
        task="persons",
        ann_file="data/ava/annotations/ava_val_v2.1.json",
    ),
)
