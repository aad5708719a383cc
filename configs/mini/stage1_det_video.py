# A temporal prior for each level of stage 1 on the embedded set: predicted pictures of videos.
#   vcm-mt prepare videos
#   vcm-mt train configs/mini/stage1_det_video.py --quality 3
# All that stage 1 trained is frozen, so that its receivers decode predicted pictures as well.
_base_ = [
    "../_base_/mini_videos.py",
    "../_base_/mini_video_tasks.py",
    "../_base_/codec_schedule.py",
]

# lambda of equation (1), and where stage 1 is.
levels = [
    dict(lmbda=0.004, stage1="work_dirs/mini/stage1_det/q1"),
    dict(lmbda=0.018, stage1="work_dirs/mini/stage1_det/q2"),
    dict(lmbda=0.04, stage1="work_dirs/mini/stage1_det/q3"),
    dict(lmbda=0.09, stage1="work_dirs/mini/stage1_det/q4"),
    dict(lmbda=0.20, stage1="work_dirs/mini/stage1_det/q5"),
    dict(lmbda=0.45, stage1="work_dirs/mini/stage1_det/q6"),
]

model = dict(
    type="TemporalSystem",
    width=48,
    amp="auto",
    tasks=dict(det={{_base_.mini_prior_task}}),
)

train_dataloader = dict(batch_size=4, dataset=dict(frames=5, reverse=0.5))
max_iters = 2400
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(main=dict(optimizer=dict(lr=2e-3)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]

val_evaluator = [{{_base_.mini_video_evaluators.coding}}, {{_base_.mini_video_evaluators.det}}]
test_evaluator = val_evaluator
