# The photographs: a few hundred pictures of COCO 2017, at native resolution.
#   vcm-mt prepare photos --coco data/coco
data_root = "data/photos/"
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "flip", "flip_direction")

load_picture = dict(type="vcm_mt.LoadPicture")
load_annotations = dict(type="vcm_mt.LoadAnnotations", with_bbox=True)
flip = dict(type="mmdet.RandomFlip", prob=0.5)
pack = dict(type="mmdet.PackDetInputs", meta_keys=meta_keys)
# For trainings whose truth is found in the picture that they see.
resize = dict(type="mmdet.RandomResize", scale=(640, 480), ratio_range=(0.7, 1.3), keep_ratio=True)
crop = dict(
    type="mmdet.RandomCrop",
    crop_type="relative_range",
    crop_size=(0.65, 0.65),
    allow_negative_crop=True,
)
recolour = dict(
    type="mmdet.PhotoMetricDistortion",
    brightness_delta=32,
    contrast_range=(0.6, 1.4),
    saturation_range=(0.6, 1.4),
    hue_delta=15,
)

inputs_hint = """
Make the photographs out of COCO 2017 (https://cocodataset.org):
    vcm-mt prepare photos --coco data/coco
and fetch the detector: vcm-mt download configs/photos/stage1_det.py
"""

train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    dataset=dict(
        type="vcm_mt.CheckedCocoDataset",
        data_root=data_root,
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[load_picture, load_annotations, flip, pack],
    ),
)
# Settings are chosen on the split `tune`; `val` is for tests.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="vcm_mt.CheckedCocoDataset",
        data_root=data_root,
        ann_file="annotations/tune.json",
        data_prefix=dict(img="tune/"),
        test_mode=True,
        pipeline=[load_picture, pack],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="vcm_mt.CheckedCocoDataset",
        data_root=data_root,
        ann_file="annotations/val.json",
        data_prefix=dict(img="val/"),
        test_mode=True,
        pipeline=[load_picture, pack],
    ),
)
