# Poses on HiEve's sequences, in the annotated boxes: HRNet-W32, whose 17 joints become HiEve's 14.
#   pip install --no-deps mmpose==1.3.2 munkres
_base_ = "_base_/sequences.py"
inputs_hint = """
Put HiEve's sequences with their labels into data/hieve (docs/mpeg.md), then
    vcm-mt prepare hieve
    vcm-mt download configs/mpeg/hieve_pose.py
"""
ann_file = "data/hieve/prepared/poses.json"
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "video_id", "frame_id")
test_dataloader = dict(
    dataset=dict(
        data_root="data/hieve/",
        ann_file="prepared/poses.json",
        metainfo=dict(classes=("person",)),
        pipeline=[
            dict(type="vcm_mt.LoadPicture"),
            dict(type="vcm_mt.LoadAnnotations", with_bbox=True, with_keypoints=True),
            dict(type="vcm_mt.PackPoses", meta_keys=meta_keys),
        ],
    )
)
model = dict(
    tasks=dict(
        pose=dict(
            type="MMPoseTask",
            estimator="mmpose::body_2d_keypoint/topdown_heatmap/coco/"
            "td-hm_hrnet-w32_8xb64-210e_coco-256x192.py",
            checkpoint="weights/td-hm_hrnet-w32_8xb64-210e_coco-256x192-81c58e40_20220909.pth",
        )
    )
)
test_evaluator = [dict(type="TaskJointsMetric", task="pose", ann_file=ann_file)]
ctc = dict(name="HiEve poses", scores=["pose_mAP"], anchor="vvc-ra")
