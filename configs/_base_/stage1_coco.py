# The paper's stage 1 on COCO 2017 but for the tasks: mbt2018-mean at six quality levels, everything
# at native resolution.
_base_ = ["coco.py", "coco_tasks.py", "stage1_paper.py"]

# The paper prints its rates and not its lambdas: these are where the search starts.
# Without target_bpp a level keeps its lambda.
levels = [
    dict(target_bpp=0.079, lmbda=0.05, codec=dict(quality=1)),
    dict(target_bpp=0.147, lmbda=0.10, codec=dict(quality=2)),
    dict(target_bpp=0.292, lmbda=0.20, codec=dict(quality=3)),
    dict(target_bpp=0.444, lmbda=0.35, codec=dict(quality=4)),
    dict(target_bpp=0.612, lmbda=0.55, codec=dict(quality=5)),
    dict(target_bpp=0.816, lmbda=0.75, codec=dict(quality=6)),
]
rate_target = dict(interval=1000, pictures=500)

max_iters = 60000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min_ratio=0.02),
]
