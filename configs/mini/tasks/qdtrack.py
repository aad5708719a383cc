# A small QDTrack for the embedded videos: the zoo's Faster R-CNN, whose weights stay as they are
# (its batch norms' statistics do not), and an embedding head, trained as mmdet trains it, by
#   vcm-mt prepare videos && vcm-mt train configs/mini/tasks/qdtrack.py
_base_ = "../../_base_/mini_qdtrack.py"

model = dict(detector=dict(init_cfg=dict(type="Pretrained", checkpoint="zoo://faster_rcnn")))

# mmdet's readers and samplers of videos: a key frame, and one near it.
_videos = dict(
    type="BaseVideoDataset",
    data_root="data/mini_videos/",
    metainfo=dict(classes={{_base_.classes}}),
)
_load = dict(
    type="TransformBroadcaster",
    transforms=[{{_base_.load_picture}}, dict(type="LoadTrackAnnotations", with_bbox=True)],
)
# mmdet's heads ask for a scale factor, even if it is 1.
_load_scaled = dict(
    type="TransformBroadcaster",
    transforms=[
        {{_base_.load_picture}},
        dict(type="Resize", scale=(256, 256), keep_ratio=True),
        dict(type="LoadTrackAnnotations", with_bbox=True),
    ],
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(_delete_=True, type="TrackImgSampler", seed=0),
    dataset=dict(
        _delete_=True,
        ann_file="annotations/train.json",
        data_prefix=dict(img_path="train/"),
        pipeline=[
            dict(type="UniformRefFrameSample", num_ref_imgs=1, frame_range=4),
            _load,
            dict(type="PackTrackInputs"),
        ],
        **_videos,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(_delete_=True, type="TrackImgSampler"),
    dataset=dict(
        _delete_=True,
        ann_file="annotations/val.json",
        data_prefix=dict(img_path="val/"),
        test_mode=True,
        pipeline=[_load_scaled, dict(type="PackTrackInputs")],
        **_videos,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type="vcm_mt.TrackMetric", ann_file="data/mini_videos/annotations/val.json"
)
test_evaluator = val_evaluator

max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
