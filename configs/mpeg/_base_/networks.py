# The networks that MPEG's conditions name, from mmdet: Detectron2's X101 in the same layout.
#   vcm-mt download configs/mpeg/openimages_det.py
detector = dict(
    type="MMDetTask",
    detector="mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py",
    checkpoint="weights/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco_20210604_182954-002e082a.pth",
)
segmenter = dict(
    type="MMDetTask",
    detector="mmdet::mask_rcnn/mask-rcnn_x101-32x8d_fpn_ms-poly-3x_coco.py",
    checkpoint="weights/mask_rcnn_x101_32x8d_fpn_mstrain-poly_3x_coco_20210607_161042-8bd2c639.pth",
)
# MPEG tracks by JDE-1088x608, which mmdet does not have: QDTrack stands in for it.
tracker = dict(
    type="MMTrackTask",
    tracker="mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py",
    checkpoint="weights/qdtrack_faster-rcnn_r50_fpn_4e_mot17_20220315_145635-76f295ef.pth",
)
