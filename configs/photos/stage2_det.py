# Stage 2 on the photographs: a receiver for detection.
#   vcm-mt finetune --task det --config configs/photos/stage2_det.py
_base_ = "../_base_/stage2_photos.py"
task = ["det"]

optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
