# What latents of photographs are refined for: the detector alone.
#   vcm-mt encode PICTURE -o FILE --transmitter zoo://photos_det_3 --refine 8 \
#       --refine-config configs/photos/refine_det.py
_base_ = "stage1_det.py"

model = dict(tasks=dict(_delete_=True, det={{_base_.photos_tasks.det}}))
