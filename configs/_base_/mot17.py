# MOT17 (https://motchallenge.net/data/MOT17): trained on the first half of each sequence,
# validated on the second, as is usual. Each scene is there three times, and taken once.
#   vcm-mt prepare mot --mot data/MOT17/train
classes = ("pedestrian",)
load_picture = dict(type="vcm_mt.LoadPicture")
load_tracks = dict(type="mmdet.LoadTrackAnnotations", with_bbox=True)
pack_frame = dict(type="vcm_mt.PackFrame")

inputs_hint = """
Put MOT17 (https://motchallenge.net/data/MOT17) into data/MOT17, then
    vcm-mt prepare mot --mot data/MOT17/train
The tracker's weights: vcm-mt download CONFIG fetches and checks them.
"""

train_frames = dict(
    type="vcm_mt.VideoDataset",
    data_root="data/MOT17/",
    ann_file="annotations/first_half.json",
    data_prefix=dict(img="train/"),
    metainfo=dict(classes=classes),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=[load_picture, load_tracks, pack_frame],
)
train_dataloader = dict(
    batch_size=1,  # clips
    num_workers=2,
    persistent_workers=True,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    collate_fn=dict(type="vcm_mt.flat_collate"),
    dataset=dict(type="vcm_mt.ClipDataset", dataset=train_frames, frames=2, step=3),
)
# Frames in order, of whole videos.
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="vcm_mt.VideoSampler"),
    dataset=dict(
        type="vcm_mt.VideoDataset",
        data_root="data/MOT17/",
        ann_file="annotations/second_half.json",
        data_prefix=dict(img="train/"),
        metainfo=dict(classes=classes),
        test_mode=True,
        pipeline=[load_picture, pack_frame],
    ),
)
test_dataloader = val_dataloader
