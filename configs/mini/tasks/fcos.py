# A small FCOS for the embedded set: one stage, no anchors. Like the RetinaNet it judges codecs that
# were trained through others. Trained from nothing by
#   vcm-mt train configs/mini/tasks/fcos.py
_base_ = "faster_rcnn.py"

model = dict(
    _delete_=True,
    type="mmdet.FCOS",
    _scope_="mmdet",
    data_preprocessor={{_base_.model.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    neck=dict(type="FPN", in_channels=[32, 64, 128], out_channels=48, start_level=1, num_outs=3),
    bbox_head=dict(
        type="FCOSHead",
        num_classes=12,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        strides=[8, 16, 32],
        regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
        norm_on_bbox=True,
        centerness_on_reg=True,
        center_sampling=True,
        norm_cfg=dict(type="GN", num_groups=8, requires_grad=True),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    ),
    test_cfg=dict(
        nms_pre=300,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="nms", iou_threshold=0.5),
        max_per_img=50,
    ),
)
