# The embedded videos in COCO-VID's form, frames at their native size.
#   vcm-mt prepare videos
_base_ = "mini_coco.py"

load_tracks = dict(type="mmdet.LoadTrackAnnotations", with_bbox=True, with_mask=True)
pack_frame = dict(type="vcm_mt.PackFrame")

train_frames = dict(
    type="vcm_mt.VideoDataset",
    data_root="data/mini_videos/",
    ann_file="annotations/train.json",
    data_prefix=dict(img="train/"),
    metainfo=dict(classes={{_base_.classes}}),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=[{{_base_.load_picture}}, load_tracks, pack_frame],
)
val_frames = dict(
    type="vcm_mt.VideoDataset",
    data_root="data/mini_videos/",
    ann_file="annotations/val.json",
    data_prefix=dict(img="val/"),
    metainfo=dict(classes={{_base_.classes}}),
    test_mode=True,
    pipeline=[{{_base_.load_picture}}, pack_frame],
)

train_dataloader = dict(
    batch_size=2,  # clips
    num_workers=0,
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    collate_fn=dict(type="vcm_mt.flat_collate"),
    dataset=dict(_delete_=True, type="vcm_mt.ClipDataset", dataset=train_frames, frames=4),
)
# Frames in order, of whole videos: a predicted picture follows the one before it.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(_delete_=True, type="vcm_mt.VideoSampler"),
    dataset=val_frames,
)
test_dataloader = val_dataloader
