# A small RetinaNet for the embedded set: one stage, focal loss, no proposals. No codec is trained
# through it; it judges what codecs do that were trained through others. Trained from nothing by
#   vcm-mt train configs/mini/tasks/retinanet.py
_base_ = "faster_rcnn.py"

model = dict(
    _delete_=True,
    type="mmdet.RetinaNet",
    _scope_="mmdet",
    data_preprocessor={{_base_.model.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    neck=dict(type="FPN", in_channels=[32, 64, 128], out_channels=48, start_level=1, num_outs=3),
    bbox_head=dict(
        type="RetinaHead",
        num_classes=12,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        norm_cfg=dict(type="GN", num_groups=8, requires_grad=True),
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=3,
            scales_per_octave=3,
            ratios=[0.7, 1.3, 2.2],
            strides=[8, 16, 32],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type="MaxIoUAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=300,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="nms", iou_threshold=0.5),
        max_per_img=50,
    ),
)
