# refine_det_segm.py for people too.
_base_ = "refine_det_segm.py"

# People's weight: what a squared error costs, lambda * weight against (1 - lambda) a bit, is about
# that of the MSE codec of the lowest rate at every level.
levels = [
    dict(lmbda=0.04, codec=dict(checkpoint="zoo://mse_1"), tasks=dict(human=dict(weight=0.024))),
    dict(lmbda=0.09, codec=dict(checkpoint="zoo://mse_1"), tasks=dict(human=dict(weight=0.01))),
    dict(lmbda=0.18, codec=dict(checkpoint="zoo://mse_1"), tasks=dict(human=dict(weight=0.0045))),
    dict(lmbda=0.32, codec=dict(checkpoint="zoo://mse_2"), tasks=dict(human=dict(weight=0.002))),
    dict(lmbda=0.55, codec=dict(checkpoint="zoo://mse_3"), tasks=dict(human=dict(weight=0.0008))),
    dict(lmbda=0.80, codec=dict(checkpoint="zoo://mse_3"), tasks=dict(human=dict(weight=0.00025))),
]

model = dict(tasks=dict(human={{_base_.mini_tasks.human}}))
