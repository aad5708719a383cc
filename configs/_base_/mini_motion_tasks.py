# What looks at the embedded motions: a recogniser, and people.
mini_motion_tasks = dict(
    action=dict(
        type="MMActionTask",
        recognizer="vcm_mt::mini/tasks/slowfast.py",
        checkpoint="zoo://slowfast",
    ),
    human=dict(type="HumanTask"),
)
mini_motion_evaluators = dict(
    coding=dict(type="CodingMetric"),
    action=dict(
        type="TaskActionMetric",
        task="action",
        ann_file="data/mini_motions/annotations/val.json",
    ),
)
