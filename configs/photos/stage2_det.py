# Stage 2 on photographs: a receiver for detection, with the detector's own finds as truth.
#   vcm-mt finetune --task det --config configs/photos/stage2_det.py --pictures DIR
_base_ = "../_base_/stage2_photos.py"
task = ["det"]

tasks = dict(det=dict(truth="own", score=0.25, feature_background=0.2))
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
