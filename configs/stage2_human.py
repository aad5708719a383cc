# The paper's stage 2 on COCO: a receiver for people, by MSE and MS-SSIM.
#   python tools/finetune_decoder.py --task human
_base_ = "_base_/stage2_coco.py"
task = ["human"]
