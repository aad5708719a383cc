# The embedded set as COCO-format data, pictures at their native size.
data_root = "data/mini/"
classes = ("digit_0", "digit_1", "digit_2", "digit_3", "digit_4", "digit_5",
           "digit_6", "digit_7", "digit_8", "digit_9", "star", "arrow")  # fmt: skip
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape")

load_picture = dict(type="vcm_mt.LoadPicture")
load_annotations = dict(type="vcm_mt.LoadAnnotations", with_bbox=True, with_mask=True)
pack = dict(type="mmdet.PackDetInputs", meta_keys=meta_keys)

train_dataset = dict(
    type="vcm_mt.CheckedCocoDataset",
    data_root=data_root,
    ann_file="annotations/train.json",
    data_prefix=dict(img="train/"),
    metainfo=dict(classes=classes),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=[load_picture, load_annotations, pack],
)
val_dataset = dict(
    type="vcm_mt.CheckedCocoDataset",
    data_root=data_root,
    ann_file="annotations/val.json",
    data_prefix=dict(img="val/"),
    metainfo=dict(classes=classes),
    test_mode=True,
    pipeline=[load_picture, pack],
)

# A picture is loaded in 1 ms; a worker takes longer to hand it over.
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    dataset=train_dataset,
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=val_dataset,
)
test_dataloader = val_dataloader
