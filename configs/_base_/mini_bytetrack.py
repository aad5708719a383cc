# ByteTrack over the zoo's Faster R-CNN: a judge of the embedded videos that needs no training. It
# associates boxes by their overlap, and sees no picture itself.
_base_ = "../mini/tasks/faster_rcnn.py"

model = dict(
    _delete_=True,
    type="mmdet.ByteTrack",
    _scope_="mmdet",
    data_preprocessor=dict(
        type="TrackDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    detector={{_base_.model}},
    tracker=dict(
        type="ByteTracker",
        motion=dict(type="KalmanFilter"),
        obj_score_thrs=dict(high=0.6, low=0.1),
        init_track_thr=0.7,
        weight_iou_with_det_scores=True,
        match_iou_thrs=dict(high=0.1, low=0.5, tentative=0.3),
        num_frames_retain=30,
    ),
)
