# What looks at the embedded set's maps: a segmenter of all pixels.
mini_sem_task = dict(
    type="MMSegTask",
    segmentor="vcm_mt::mini/tasks/sem_fpn.py",
    checkpoint="zoo://sem_fpn",
    feature_weight=5.0,
    fold=True,
    amp="auto",
)
mini_sem_evaluator = dict(
    type="TaskSemanticMetric",
    task="sem",
    background=True,
    ann_file="data/mini/annotations/val.json",
)
