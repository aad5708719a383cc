# Stage 2 on the embedded set: a receiver for detection.
#   vcm-mt finetune --task det --config configs/mini/stage2_det.py
_base_ = "../_base_/stage2_mini.py"
task = ["det"]

# The shared decoder is a detector's already: larger steps only make it forget.
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
