# Stage 2 on the embedded set: a receiver for the segmenter of all pixels.
#   vcm-mt finetune --task sem --config configs/mini/stage2_sem.py
_base_ = [
    "../_base_/mini_semantic.py",
    "../_base_/mini_tasks.py",
    "../_base_/mini_semantic_tasks.py",
    "../_base_/soap_schedule.py",
]
task = ["sem"]
stage1 = "work_dirs/mini/stage1_sem"

tasks = dict(
    sem={{_base_.mini_sem_task}},
    det={{_base_.mini_tasks.det}},
    segm={{_base_.mini_tasks.segm}},
    human=dict(type="HumanTask"),
)
evaluators = dict(
    sem={{_base_.mini_sem_evaluator}},
    det={{_base_.mini_evaluators.det}},
    segm={{_base_.mini_evaluators.segm}},
)
model = dict(type="ReceiverSystem", amp="auto")

train_dataloader = dict(batch_size=2)
max_iters = 600
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(main=dict(optimizer=dict(lr=1e-4)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
default_hooks = dict(checkpoint=dict(interval=300))
