# The embedded figures as COCO lists persons and their joints, pictures at their native size.
#   vcm-mt prepare figures
# They need mmpose: pip install --no-deps mmpose==1.3.2 munkres
_base_ = "mini_coco.py"

load_poses = dict(type="vcm_mt.LoadAnnotations", with_bbox=True, with_keypoints=True)
pack_poses = dict(type="vcm_mt.PackPoses", meta_keys={{_base_.meta_keys}})

_figures = dict(
    _delete_=True,
    type="vcm_mt.CheckedCocoDataset",
    data_root="data/mini_figures/",
    metainfo=dict(classes=("figure",)),
    filter_cfg=dict(filter_empty_gt=False),
)
train_dataloader = dict(
    dataset=dict(
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        pipeline=[
            {{_base_.load_picture}},
            load_poses,
            dict(type="vcm_mt.RandomFlip", prob=0.5),
            pack_poses,
        ],
        **_figures,
    )
)
# Poses are looked for in the annotated boxes, which are loaded for that.
val_dataloader = dict(
    dataset=dict(
        ann_file="annotations/val.json",
        data_prefix=dict(img="val/"),
        test_mode=True,
        pipeline=[{{_base_.load_picture}}, load_poses, pack_poses],
        **_figures,
    )
)
test_dataloader = val_dataloader
