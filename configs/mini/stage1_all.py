# Stage 1 through five networks at once, each on the pictures or clips that its annotations are of:
# one codec for six rates.
#   vcm-mt prepare; vcm-mt prepare videos; vcm-mt prepare figures; vcm-mt prepare motions
#   vcm-mt train configs/mini/stage1_all.py
# It needs the packages for maps, poses and actions, see docs/setup.md.
_base_ = [
    "../_base_/mini_semantic.py",
    "../_base_/mini_tasks.py",
    "../_base_/mini_semantic_tasks.py",
    "../_base_/mini_video_tasks.py",
    "../_base_/mini_figure_tasks.py",
    "../_base_/mini_motion_tasks.py",
    "../_base_/soap_schedule.py",
]

model = dict(
    type="VCMSystem",
    codec=dict(arch="MeanScaleHyperprior", N=48, M=96, checkpoint="zoo://mse_3"),
    quantizer="round",
    amp="auto",
    lmbda=[0.004, 0.018, 0.04, 0.09, 0.20, 0.45],
    gains=[0.22, 0.30, 0.40, 0.55, 0.75, 1.0],
    # The square root of 0.45 / lambda, which balances the levels' gradients.
    level_weights=[10.6, 5.0, 3.4, 2.2, 1.5, 1.0],
    tasks=dict(
        det={{_base_.mini_tasks.det}},
        sem={{_base_.mini_sem_task}},
        track={{_base_.mini_video_tasks.track}},
        pose={{_base_.mini_figure_tasks.pose}},
        action={{_base_.mini_motion_tasks.action}},
    ),
)

_frames = dict(type="vcm_mt.VideoDataset", ann_file="annotations/train.json",
               data_prefix=dict(img="train/"), filter_cfg=dict(filter_empty_gt=False))  # fmt: skip
train_dataloader = dict(
    batch_size=1,  # a batch of one source
    collate_fn=dict(type="vcm_mt.flat_collate"),
    dataset=dict(
        _delete_=True,
        type="vcm_mt.TaskMixture",
        sources=dict(
            pictures=dict(
                tasks=["det", "sem"],
                count=2,
                dataset=dict(
                    type="vcm_mt.CheckedCocoDataset",
                    data_root="data/mini/",
                    ann_file="annotations/train.json",
                    data_prefix=dict(img="train/"),
                    metainfo=dict(classes={{_base_.classes}}),
                    filter_cfg=dict(filter_empty_gt=False),
                    pipeline={{_base_.maps_pipeline}},
                ),
            ),
            videos=dict(
                tasks=["track"],
                dataset=dict(
                    type="vcm_mt.ClipDataset",
                    frames=2,
                    step=3,
                    dataset=dict(
                        data_root="data/mini_videos/",
                        metainfo=dict(classes={{_base_.classes}}),
                        pipeline=[
                            {{_base_.load_picture}},
                            dict(type="mmdet.LoadTrackAnnotations", with_bbox=True, with_mask=True),
                            dict(type="vcm_mt.PackFrame"),
                        ],
                        **_frames,
                    ),
                ),
            ),
            figures=dict(
                tasks=["pose"],
                count=2,
                dataset=dict(
                    type="vcm_mt.CheckedCocoDataset",
                    data_root="data/mini_figures/",
                    ann_file="annotations/train.json",
                    data_prefix=dict(img="train/"),
                    metainfo=dict(classes=("figure",)),
                    filter_cfg=dict(filter_empty_gt=True),
                    pipeline=[
                        {{_base_.load_picture}},
                        dict(type="vcm_mt.LoadAnnotations", with_bbox=True, with_keypoints=True),
                        dict(type="vcm_mt.PackPoses", meta_keys={{_base_.meta_keys}}),
                    ],
                ),
            ),
            motions=dict(
                tasks=["action"],
                dataset=dict(
                    type="vcm_mt.ClipDataset",
                    frames=16,
                    dataset=dict(
                        data_root="data/mini_motions/",
                        metainfo=dict(classes=("figure",)),
                        pipeline=[{{_base_.load_picture}}, dict(type="vcm_mt.PackFrame")],
                        **_frames,
                    ),
                ),
            ),
        ),
    ),
)
max_iters = 4800
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]

# Validation is on the pictures alone: the other sets have data loaders of their own.
val_evaluator = [
    {{_base_.mini_evaluators.coding}},
    {{_base_.mini_evaluators.det}},
    {{_base_.mini_sem_evaluator}},
]
test_evaluator = val_evaluator
