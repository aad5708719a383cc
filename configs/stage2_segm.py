# The paper's stage 2 on COCO: a receiver for instance segmentation, by Mask R-CNN R50-FPN.
#   vcm-mt finetune --task segm
_base_ = "_base_/stage2_coco.py"
task = ["segm"]
