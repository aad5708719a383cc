# Stage 1 on photographs without labels: the distance of YOLOX-nano's feature maps from those of the
# originals is the whole loss of the task. Any folder of photographs will do.
#   vcm-mt train configs/photos/stage1_det_own.py --pictures DIR
# With what it finds in the originals as truth of its own loss too:
#   --cfg-options model.tasks.det.loss_weight=1 model.tasks.det.truth=own model.tasks.det.score=0.3
_base_ = "stage1_det.py"

model = dict(tasks=dict(det=dict(loss_weight=0.0)))
