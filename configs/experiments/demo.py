# The experiment of `make demo` (tools/demo.py): stage 1 by configs/mini/demo.py, then this.
_base_ = "../mini/demo.py"

judge = "configs/mini/stage2_segm.py"
measured = [1, 2, 3, 4]
resamples = 500

# What is trained after stage 1, and measured beside it.
stage2 = dict(
    config="configs/mini/stage2_{task}.py",
    tasks=["segm", "human"],
    levels=[3],
    max_iters=60,
)
variable = seeds = None
others = dict()
# By equation (1), as the published curve: the mini detectors are sure of what they find.
refiner = dict(objective="loss", rate=0.08)
refine = dict(stage1_det_refined=dict(steps=4, levels=measured, tasks=[]))
mse_codecs = ["zoo://mse_1", "zoo://mse_2", "zoo://mse_3", "zoo://mse_4"]
anchors = ["vvc"]
samples = 2
report = dict(
    title="The demo: a codec trained for minutes through a detector",
    targets=dict(det_mAP=-20.0),
)
