# YOLOX-nano as its authors trained it on COCO, with every class of a box above the threshold.
_base_ = "mmdet::yolox/yolox_nano_8xb8-300e_coco.py"

model = dict(
    bbox_head=dict(type="vcm_mt.AllClassesYOLOXHead"),
    test_cfg=dict(nms=dict(max_num=100)),
)
