# What looks at COCO's persons: the HRNet-W32 that mmpose publishes, and people.
#   pip install --no-deps mmpose==1.3.2 munkres
#   vcm-mt download configs/stage1_pose.py     fetches the weights
inputs_hint = """
Put COCO 2017 (train2017, val2017, annotations with person_keypoints_*2017.json;
https://cocodataset.org) into data/coco. The weights: vcm-mt download CONFIG fetches
and checks them.
"""

coco_pose_tasks = dict(
    # Poses are looked for in the annotated boxes. For those of a detector in the decoded picture:
    #   boxes=dict(detector="mmdet::faster_rcnn/...", checkpoint="weights/...", score=0.05)
    pose=dict(
        type="MMPoseTask",
        estimator="mmpose::body_2d_keypoint/topdown_heatmap/coco/"
        "td-hm_hrnet-w32_8xb64-210e_coco-256x192.py",
        checkpoint="weights/td-hm_hrnet-w32_8xb64-210e_coco-256x192-81c58e40_20220909.pth",
        # The estimator's loss is a mean over mostly empty heatmaps, and small.
        loss_weight=500.0,
        feature_weight=1.0,
        fold=True,
        amp="auto",
    ),
    human=dict(type="HumanTask", ms_ssim=60.0),
)
coco_evaluators = dict(
    coding=dict(type="CodingMetric"),
    pose=dict(
        type="TaskPoseMetric",
        task="pose",
        ann_file="data/coco/annotations/person_keypoints_val2017.json",
    ),
)
