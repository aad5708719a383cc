# The paper's stage 2 on COCO: a receiver for detection, by Faster R-CNN X101-32x8d-FPN.
#   vcm-mt finetune --task det
_base_ = "_base_/stage2_coco.py"
task = ["det"]
