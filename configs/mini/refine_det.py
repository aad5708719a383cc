# What latents of stage1_det_paper.py are refined through: its lambdas, and the distance of the
# feature maps beside the detector's own loss, which tells eight steps more than that loss alone.
#   vcm-mt test configs/mini/stage2_segm.py work_dirs/bench_rp/stage1_det/q3 --refine 8
#       --refine-config configs/mini/refine_det.py --receivers FILE ...
_base_ = "stage1_det_paper.py"

model = dict(tasks=dict(det=dict(feature_weight=20.0)))

# The published curves were refined by equation (1), with the maps' distance in it.
refiner = dict(objective="loss", rate=0.08)
