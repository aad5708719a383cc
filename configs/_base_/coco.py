# COCO 2017 at native resolution.
data_root = "data/coco/"
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape")

load_picture = dict(type="vcm_mt.LoadPicture")
load_annotations = dict(type="vcm_mt.LoadAnnotations", with_bbox=True, with_mask=True)
pack = dict(type="mmdet.PackDetInputs", meta_keys=meta_keys)

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    timeout=600,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    batch_sampler=dict(type="vcm_mt.AspectRatioBatchSampler"),
    dataset=dict(
        type="vcm_mt.CheckedCocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=False, min_size=32),
        pipeline=[
            load_picture,
            load_annotations,
            dict(type="mmdet.RandomFlip", prob=0.5),
            # As the detectors of coco_tasks.py ask for them; a task with another resize does it.
            dict(type="vcm_mt.ResizeMasks", scale=(1333, 800), keep_ratio=True),
            pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    timeout=600,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="vcm_mt.CheckedCocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[load_picture, pack],
    ),
)
test_dataloader = val_dataloader
