# A small SlowFast (https://arxiv.org/abs/1812.03982) of two ResNet-18 for the embedded motions.
# Trained from nothing, as mmaction2 trains it, by
#   vcm-mt prepare motions && vcm-mt train configs/mini/tasks/slowfast.py
# It needs mmaction2, see docs/setup.md.
_base_ = ["../../_base_/mini_motions.py", "../../_base_/mini_task_schedule.py"]
custom_imports = dict(imports=["vcm_mt.models.tasks.mmaction_all"], allow_failed_imports=False)
default_scope = "mmaction"

_pathway = dict(
    type="resnet3d",
    depth=18,
    pretrained=None,
    conv1_stride_t=1,
    pool1_stride_t=1,
    dilations=(1, 1, 1, 1),
    zero_init_residual=False,
    norm_eval=False,
)
model = dict(
    type="Recognizer3D",
    _scope_="mmaction",
    backbone=dict(
        type="ResNet3dSlowFast",
        pretrained=None,
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=4,
        slow_pathway=dict(
            base_channels=16,
            lateral=True,
            conv1_kernel=(1, 5, 5),
            inflate=(0, 0, 1, 1),
            **_pathway,
        ),
        fast_pathway=dict(base_channels=4, lateral=False, conv1_kernel=(5, 5, 5), **_pathway),
    ),
    cls_head=dict(
        type="SlowFastHead",
        in_channels=160,
        num_classes=8,
        spatial_type="avg",
        dropout_ratio=0.2,
        average_clips="prob",
    ),
    data_preprocessor=dict(
        type="ActionDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape="NCTHW",
    ),
)

_load = [
    dict(type="SampleFrames", clip_len=16, frame_interval=1, num_clips=1, test_mode=True),
    dict(type="RawFrameDecode"),
]
_pack = [dict(type="FormatShape", input_format="NCTHW"), dict(type="PackActionInputs")]
train_pipeline = [
    *_load,
    dict(type="Resize", scale=(72, 72), keep_ratio=False),
    dict(type="RandomCrop", size=64),
    # In the mirror, who walks left walks right.
    dict(type="Flip", flip_ratio=0.5, flip_label_map={0: 1, 1: 0}),
    *_pack,
]
test_pipeline = [
    *_load,
    dict(type="Resize", scale=(72, 72), keep_ratio=False),
    dict(type="CenterCrop", crop_size=64),
    *_pack,
]
_clips = dict(
    type="RawframeDataset", filename_tmpl="{:06}.bmp", start_index=0, data_root="data/mini_motions/"
)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(_delete_=True, type="InfiniteSampler", shuffle=True),
    collate_fn=dict(_delete_=True, type="pseudo_collate"),
    dataset=dict(
        _delete_=True,
        ann_file="annotations/train.txt",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
        **_clips,
    ),
)
val_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=False),
    dataset=dict(
        _delete_=True,
        ann_file="annotations/val.txt",
        data_prefix=dict(img="val/"),
        test_mode=True,
        pipeline=test_pipeline,
        **_clips,
    ),
)
test_dataloader = val_dataloader

max_iters = 900
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.05))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.04, by_epoch=False, begin=0, end=270),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=270, T_max=630, eta_min_ratio=0.01),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
val_evaluator = dict(type="AccMetric", metric_list=("top_k_accuracy",))
test_evaluator = val_evaluator
