# For detection, segmentation and people together, with stage1_det_paper.py's lambdas: above all to
# refine that one's latents through, each task behind its own receiver of stage 2.
#   python tools/test.py configs/mini/stage2_segm.py work_dirs/bench_paper/stage1_det/q3 --receivers
#       FILE ... --refine 4 --refine-config configs/mini/stage1_all_paper.py --refine-receivers
_base_ = "stage1_det_paper.py"

# People's weight: what a squared error costs, lambda * weight against (1 - lambda) a bit, is about
# that of the MSE codec of the lowest rate at every level.
levels = [
    dict(
        lmbda=0.04,
        codec=dict(checkpoint="zoo://mse_1"),
        tasks=dict(human=dict(weight=0.024)),
    ),
    dict(
        lmbda=0.09,
        codec=dict(checkpoint="zoo://mse_1"),
        tasks=dict(human=dict(weight=0.01)),
    ),
    dict(
        lmbda=0.18,
        codec=dict(checkpoint="zoo://mse_1"),
        tasks=dict(human=dict(weight=0.0045)),
    ),
    dict(
        lmbda=0.32,
        codec=dict(checkpoint="zoo://mse_2"),
        tasks=dict(human=dict(weight=0.002)),
    ),
    dict(
        lmbda=0.55,
        codec=dict(checkpoint="zoo://mse_3"),
        tasks=dict(human=dict(weight=0.0008)),
    ),
    dict(
        lmbda=0.80,
        codec=dict(checkpoint="zoo://mse_3"),
        tasks=dict(human=dict(weight=0.00025)),
    ),
]

model = dict(
    tasks=dict(
        det=dict(feature_weight=20.0, weight=0.5),
        segm=dict(**_base_.mini_tasks.segm, weight=0.5),
        human={{_base_.mini_tasks.human}},
    )
)
val_evaluator = [*_base_.val_evaluator, {{_base_.mini_evaluators.segm}}]
test_evaluator = val_evaluator
