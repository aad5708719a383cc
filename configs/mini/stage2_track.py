# Stage 2 on the embedded videos: a receiver for the tracker.
#   vcm-mt finetune --task track --config configs/mini/stage2_track.py
_base_ = ["../_base_/mini_videos.py", "../_base_/mini_video_tasks.py", "../_base_/soap_schedule.py"]
task = ["track"]
stage1 = "work_dirs/mini/stage1_track"

tasks = {{_base_.mini_video_tasks}}
evaluators = dict(
    track={{_base_.mini_video_evaluators.track}},
    det={{_base_.mini_video_evaluators.det}},
    byte={{_base_.mini_video_evaluators.byte}},
)
model = dict(type="ReceiverSystem", amp="auto")

train_dataloader = dict(dataset=dict(frames=2, step=3))
max_iters = 600
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
# The shared decoder is a tracker's already: larger steps only make it forget.
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
