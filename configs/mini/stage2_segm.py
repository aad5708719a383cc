# Stage 2 on the embedded set: a receiver for instance segmentation.
#   vcm-mt finetune --task segm --config configs/mini/stage2_segm.py
_base_ = "../_base_/stage2_mini.py"
task = ["segm"]
