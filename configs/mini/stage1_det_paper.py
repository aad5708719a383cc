# Stage 1 on the embedded set as the paper has it: each level from the MSE codec of about its rate,
# equation (1) with the detector's own loss and nothing beside it, noise for rounding, Adam.
#   vcm-mt train configs/mini/stage1_det_paper.py
_base_ = "stage1_det.py"

levels = [
    dict(lmbda=0.04, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.09, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.18, codec=dict(checkpoint="zoo://mse_1")),
    dict(lmbda=0.32, codec=dict(checkpoint="zoo://mse_2")),
    dict(lmbda=0.55, codec=dict(checkpoint="zoo://mse_3")),
    dict(lmbda=0.80, codec=dict(checkpoint="zoo://mse_3")),
]

model = dict(quantizer="noise", tasks=dict(det=dict(feature_weight=0.0)))
# 3e-4 ends lower by equation (1) than CompressAI's 1e-4 (0.230 and 0.236 at level 2).
optim_wrapper = dict(main=dict(optimizer=dict(_delete_=True, type="Adam", lr=3e-4)))
