# A small Mask R-CNN for the embedded set, trained apart from the detector and from another
# seed:  vcm-mt train configs/mini/tasks/mask_rcnn.py
_base_ = "faster_rcnn.py"

model = dict(
    type="mmdet.MaskRCNN",
    roi_head=dict(
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2),
            out_channels=32,
            featmap_strides=[4, 8, 16],
            finest_scale=28,
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=2,
            in_channels=32,
            conv_out_channels=32,
            num_classes=12,
            class_agnostic=True,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0),
        ),
    ),
)

val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
randomness = dict(seed=1)
