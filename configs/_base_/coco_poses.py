# COCO 2017's persons and their keypoints, pictures at native resolution.
_base_ = "coco.py"

load_poses = dict(type="vcm_mt.LoadAnnotations", with_bbox=True, with_keypoints=True)
pack_poses = dict(type="vcm_mt.PackPoses", meta_keys={{_base_.meta_keys}})

_persons = dict(
    _delete_=True,
    type="vcm_mt.CheckedCocoDataset",
    data_root={{_base_.data_root}},
    metainfo=dict(classes=("person",)),
)
train_dataloader = dict(
    dataset=dict(
        ann_file="annotations/person_keypoints_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            {{_base_.load_picture}},
            load_poses,
            dict(type="vcm_mt.RandomFlip", prob=0.5),
            pack_poses,
        ],
        **_persons,
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file="annotations/person_keypoints_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[{{_base_.load_picture}}, load_poses, pack_poses],
        **_persons,
    )
)
test_dataloader = val_dataloader
