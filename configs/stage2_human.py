# The paper's stage 2 on COCO: a receiver for people, by MSE and MS-SSIM.
#   vcm-mt finetune --task human
_base_ = "_base_/stage2_coco.py"
task = ["human"]
