# A small HRNet for the embedded figures, on crops of 96x128. Trained from nothing by
#   vcm-mt prepare figures && vcm-mt train configs/mini/tasks/hrnet.py
# It needs mmpose: pip install --no-deps mmpose==1.3.2 munkres
_base_ = "../../_base_/mini_task_schedule.py"
custom_imports = dict(imports=["vcm_mt.models.tasks.mmpose_registered"])
default_scope = "mmpose"

codec = dict(
    type="MSRAHeatmap",
    input_size=(96, 128),
    heatmap_size=(24, 32),
    sigma=1.5,
    unbiased=True,
    blur_kernel_size=7,
)


def _stage(channels, block="BASIC", blocks=2):
    return dict(
        num_modules=1,
        num_branches=len(channels),
        block=block,
        num_blocks=(blocks,) * len(channels),
        num_channels=channels,
    )


model = dict(
    type="mmpose.TopdownPoseEstimator",
    _scope_="mmpose",
    data_preprocessor=dict(
        type="PoseDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="HRNet",
        in_channels=3,
        extra=dict(
            stage1=_stage((16,), "BOTTLENECK", 1),
            stage2=_stage((16, 32)),
            stage3=_stage((16, 32, 64)),
            stage4=_stage((16, 32, 64, 128)),
        ),
    ),
    head=dict(
        type="HeatmapHead",
        in_channels=16,
        out_channels=13,
        deconv_out_channels=None,
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_heatmap=False),
)

_joints = (
    *("head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist"),
    *("right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
_sides = {"left": "right", "right": "left"}
_figure = dict(
    dataset_name="mini_figures",
    keypoint_info={
        place: dict(
            name=name,
            id=place,
            swap="_".join(_sides.get(word, word) for word in name.split("_")),
        )
        for place, name in enumerate(_joints)
    },
    skeleton_info={},
    joint_weights=[1.0] * 13,
    sigmas=[
        0.05,
        *[0.079] * 2,
        *[0.072] * 2,
        *[0.062] * 2,
        *[0.107] * 2,
        *[0.087] * 2,
        *[0.089] * 2,
    ],
)
_dataset = dict(type="CocoDataset", data_root="data/mini_figures/", metainfo=_figure)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(
        type="RandomBBoxTransform",
        shift_factor=0.1,
        scale_factor=(0.75, 1.3),
        rotate_factor=30.0,
        rotate_prob=0.6,
    ),
    dict(type="TopdownAffine", input_size=codec["input_size"]),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="TopdownAffine", input_size=codec["input_size"]),
    dict(type="PackPoseInputs"),
]
train_dataloader = dict(
    batch_size=24,
    num_workers=1,
    persistent_workers=True,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
        **_dataset,
    ),
)
val_dataloader = dict(
    batch_size=24,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        ann_file="annotations/val.json",
        data_prefix=dict(img="val/"),
        test_mode=True,
        pipeline=test_pipeline,
        **_dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="vcm_mt.PoseMetric", ann_file="data/mini_figures/annotations/val.json")
test_evaluator = val_evaluator

max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.01),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
visualizer = dict(_delete_=True, type="Visualizer", vis_backends={{_base_.vis_backends}})
