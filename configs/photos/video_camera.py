# The temporal prior of the codec for photographs, trained on what a moving camera would see of
# photographs: no film is needed. The zoo's own is that of video.py.
#   vcm-mt prepare photos && vcm-mt prepare videos
#   vcm-mt train configs/photos/video_camera.py
_base_ = ["../_base_/mini_videos.py", "../_base_/codec_schedule.py"]

model = dict(
    type="TemporalSystem",
    stage1="zoo://photos_det",
    lmbda=[0.004, 0.012, 0.034, 0.08, 0.15, 0.24],
    level_weights=[7.7, 4.5, 2.7, 1.7, 1.3, 1.0],
    width=48,
    amp="auto",
    # What the receivers decode is to stay as it is, for people as well.
    tasks=dict(people=dict(type="HumanTask", weight=0.005, receiver="human")),
)

_pictures = dict(
    type="vcm_mt.PictureFolder",
    data_root="data/photos/train",
    pipeline=[{{_base_.load_picture}}, {{_base_.pack}}],
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(_delete_=True, type="vcm_mt.CameraClips", dataset=_pictures, frames=5),
)
max_iters = 3000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(main=dict(optimizer=dict(lr=2e-3)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
val_evaluator = [dict(type="CodingMetric")]
test_evaluator = val_evaluator
