# Stage 2 on the photographs: a receiver for people. It goes on from the decoder that people had in
# stage 1.
#   vcm-mt finetune --task human --config configs/photos/stage2_human.py
_base_ = "../_base_/stage2_photos.py"
task = ["human"]

model = dict(start="human")
