# The embedded clips of a figure's motions, frames at their native size.
#   vcm-mt prepare motions
_base_ = "mini_coco.py"

motions = ("walk_left", "walk_right", "raise_arms", "lower_arms",
           "squat", "rise", "wave", "jumping_jack")  # fmt: skip
pack_frame = dict(type="vcm_mt.PackFrame")
_frames = dict(
    type="vcm_mt.VideoDataset",
    data_root="data/mini_motions/",
    metainfo=dict(classes=("figure",)),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=[{{_base_.load_picture}}, pack_frame],
)
train_frames = dict(ann_file="annotations/train.json", data_prefix=dict(img="train/"), **_frames)
val_frames = dict(
    ann_file="annotations/val.json", data_prefix=dict(img="val/"), test_mode=True, **_frames
)

train_dataloader = dict(
    batch_size=2,  # clips
    num_workers=0,
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    collate_fn=dict(type="vcm_mt.flat_collate"),
    dataset=dict(_delete_=True, type="vcm_mt.ClipDataset", dataset=train_frames, frames=16),
)
# Frames in order, of whole videos: an action is told with the last frame of a clip.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(_delete_=True, type="vcm_mt.VideoSampler"),
    dataset=dict(_delete_=True, **val_frames),
)
test_dataloader = val_dataloader
