# A small semantic FPN (https://arxiv.org/abs/1901.02446) for the embedded set: every pixel is one
# of the twelve classes or background. The backbone begins as that of the zoo's Faster R-CNN.
# Trained by
#   vcm-mt train configs/mini/tasks/sem_fpn.py
# It needs mmsegmentation: pip install "vcm_mt[seg]".
_base_ = ["../../_base_/mini_semantic.py", "../../_base_/mini_task_schedule.py"]
custom_imports = dict(imports=["mmseg.models", "mmseg.datasets"], allow_failed_imports=False)

_norm = dict(type="BN", requires_grad=True)
model = dict(
    type="mmseg.EncoderDecoder",
    _scope_="mmseg",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=32,
        test_cfg=dict(size_divisor=32),
    ),
    backbone=dict(
        type="ResNet",
        depth=18,
        base_channels=32,
        stem_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        norm_cfg=_norm,
        norm_eval=False,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="zoo://faster_rcnn", prefix="backbone"),
    ),
    neck=dict(
        type="FPN",
        in_channels=[32, 64, 128],
        out_channels=64,
        num_outs=3,
    ),
    decode_head=dict(
        type="FPNHead",
        in_channels=[64, 64, 64],
        in_index=[0, 1, 2],
        feature_strides=[4, 8, 16],
        channels=64,
        dropout_ratio=0.0,
        num_classes=13,
        norm_cfg=_norm,
        align_corners=False,
        # Most pixels are background, of crops with objects too.
        loss_decode=dict(
            type="CrossEntropyLoss", use_sigmoid=False, class_weight=[1.0] * 12 + [0.2]
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

_pack = dict(type="mmseg.PackSegInputs", meta_keys=("img_path", "ori_shape", "img_shape"))
_load = [{{_base_.load_picture}}, {{_base_.load_annotations}}, {{_base_.load_map}}]
_crop = dict(type="mmseg.RandomCrop", crop_size=(128, 128), cat_max_ratio=0.85)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(pipeline=[*_load, _crop, _pack]),
)
val_dataloader = dict(dataset=dict(pipeline=[*_load, _pack]))
test_dataloader = val_dataloader

max_iters = 2500
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.01),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
val_evaluator = dict(
    type="vcm_mt.SemanticMetric", background=True, ann_file="data/mini/annotations/val.json"
)
test_evaluator = val_evaluator
