# Cityscapes with the labels of its 19 classes, pictures at native resolution. Put leftImg8bit and
# gtFine (https://www.cityscapes-dataset.com) into data/cityscapes and run cityscapesScripts'
# createTrainIdLabelImgs on it. Other sets of pictures and maps differ in the folders and the ends
# of the names, as COCO-Stuff in img_suffix=".jpg", seg_map_suffix="_labelTrainIds.png".
data_root = "data/cityscapes/"
classes = ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light",
           "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
           "bus", "train", "motorcycle", "bicycle")  # fmt: skip
inputs_hint = """
Put leftImg8bit and gtFine of Cityscapes (https://www.cityscapes-dataset.com) into
data/cityscapes, with the maps *_labelTrainIds.png that cityscapesScripts makes.
The weights: vcm-mt download CONFIG fetches and checks them.
"""

_pipeline = [
    dict(type="vcm_mt.LoadPicture"),
    dict(type="vcm_mt.LoadAnnotations", with_bbox=False, with_label=False, with_seg=True),
    dict(type="mmdet.PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape")),
]
_maps = dict(
    type="vcm_mt.SemanticDataset",
    data_root=data_root,
    metainfo=dict(classes=classes),
    img_suffix="_leftImg8bit.png",
    seg_map_suffix="_gtFine_labelTrainIds.png",
    pipeline=_pipeline,
)
_workers = dict(
    num_workers=2,
    persistent_workers=True,
    timeout=600,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
)
train_dataloader = dict(
    batch_size=1,  # 2048x1024 pixels each
    sampler=dict(type="vcm_mt.SeededSampler", shuffle=True),
    dataset=dict(data_prefix=dict(img="leftImg8bit/train", seg="gtFine/train"), **_maps),
    **_workers,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        data_prefix=dict(img="leftImg8bit/val", seg="gtFine/val"), test_mode=True, **_maps
    ),
    **_workers,
)
test_dataloader = val_dataloader

cityscapes_tasks = dict(
    sem=dict(
        type="MMSegTask",
        segmentor="mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py",
        checkpoint="weights/deeplabv3plus_r50-d8_512x1024_80k_cityscapes_20200606_114049-f9fb496d.pth",
        fold=True,
        amp="auto",
    ),
    human=dict(type="HumanTask", ms_ssim=60.0),
)
cityscapes_evaluators = dict(
    coding=dict(type="CodingMetric"), sem=dict(type="TaskSemanticMetric", task="sem")
)
