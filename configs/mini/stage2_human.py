# Stage 2 on the embedded set: a receiver for people.
#   vcm-mt finetune --task human --config configs/mini/stage2_human.py
_base_ = "../_base_/stage2_mini.py"
task = ["human"]

# Nothing but the decoder runs here: steps are cheap.
train_dataloader = dict(batch_size=4)
