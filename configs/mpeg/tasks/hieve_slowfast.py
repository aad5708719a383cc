# SlowFast R50 of AVA for HiEve's 14 actions; class 0 is none.
_base_ = (
    "mmaction::detection/slowfast/slowfast_kinetics400-pretrained-r50_8xb8-8x8x1-20e_ava21-rgb.py"
)
model = dict(roi_head=dict(bbox_head=dict(num_classes=15)))
