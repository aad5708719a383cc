# Stage 1 on photographs without labels: what YOLOX-nano finds in the originals is its truth. Any
# folder of photographs will do.
#   vcm-mt train configs/photos/stage1_det_own.py --pictures DIR
_base_ = "stage1_det.py"

model = dict(tasks=dict(det=dict(truth="own", score=0.3)))
