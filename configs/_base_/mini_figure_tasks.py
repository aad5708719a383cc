# What looks at the embedded figures: a pose estimator, and people.
mini_figure_tasks = dict(
    # The estimator's loss is a mean over mostly empty heatmaps, and small.
    pose=dict(
        type="MMPoseTask",
        estimator="vcm_mt::mini/tasks/hrnet.py",
        checkpoint="zoo://hrnet",
        loss_weight=500.0,
        feature_weight=20.0,
        fold=True,
        amp="auto",
    ),
    human=dict(type="HumanTask"),
)
mini_evaluators = dict(
    coding=dict(type="CodingMetric"),
    pose=dict(
        type="TaskPoseMetric",
        task="pose",
        ann_file="data/mini_figures/annotations/val.json",
    ),
)
