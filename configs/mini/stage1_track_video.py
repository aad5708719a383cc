# The temporal prior of stage1_track.py's codec: frames are predicted from those before them.
#   vcm-mt train configs/mini/stage1_track.py
#   vcm-mt train configs/mini/stage1_track_video.py
# All that stage 1 trained is frozen, so that its receivers decode predicted frames as well.
_base_ = [
    "../_base_/mini_videos.py",
    "../_base_/mini_video_tasks.py",
    "../_base_/codec_schedule.py",
]

model = dict(
    type="TemporalSystem",
    stage1="work_dirs/mini/stage1_track",
    lmbda=[0.004, 0.018, 0.04, 0.09, 0.20, 0.45],
    level_weights=[10.6, 5.0, 3.4, 2.2, 1.5, 1.0],
    width=48,
    amp="auto",
    tasks=dict(det={{_base_.mini_prior_task}}),
)

# The rate is what is learnt; the tasks look at the last frame of each clip.
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
