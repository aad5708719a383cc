# The paper's stage 2 on COCO: a receiver for instance segmentation, by Mask R-CNN R50-FPN.
#   python tools/finetune_decoder.py --task segm
_base_ = "_base_/stage2_coco.py"
task = ["segm"]
