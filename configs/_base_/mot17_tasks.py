# What looks at MOT17: the tracker that mmdet publishes, and people.
#   vcm-mt download configs/stage1_track.py
mot17_tasks = dict(
    track=dict(
        type="MMTrackTask",
        tracker="mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py",
        checkpoint="weights/qdtrack_faster-rcnn_r50_fpn_4e_mot17_20220315_145635-76f295ef.pth",
        feature_weight=1.0,
        fold=True,
        fast_roi_align=True,
        amp="auto",
    ),
    human=dict(type="HumanTask"),
)
mot17_evaluators = dict(
    coding=dict(type="CodingMetric"),
    track=dict(
        type="TaskTrackMetric",
        task="track",
        ann_file="data/MOT17/annotations/second_half.json",
    ),
)
