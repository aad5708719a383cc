# Faster R-CNN X101-32x8d-FPN for FLIR's three classes.
_base_ = "mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py"
model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
