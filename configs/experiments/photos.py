# The experiment of `make bench-photos`: the zoo's codecs for photographs, measured.
# docs/results/photos holds what it measured; zoo.json has the commands that trained them.
_base_ = "../photos/stage1_det_own.py"

judge = "configs/photos/stage2_det.py"
measured = [1, 2, 3, 4, 5, 6]
# Where the levels and their receivers are.
zoo = dict(
    codec="zoo://photos_det_{level}",
    det="zoo://photos_det_receiver_{level}",
    human="zoo://photos_human_{level}",
)
stage2 = dict(config="configs/photos/stage2_{task}.py", tasks=["det", "human"], levels=measured)
variable = seeds = None
others = dict()

refine = dict(
    stage1_det_refined=dict(
        config="configs/photos/refine_det.py",
        steps=8,
        levels=[1, 2, 3, 4, 5],
        tasks=["det", "human"],
    )
)
mse_codecs = []
# Codecs of the same size for people alone; none is in the zoo yet.
learned = dict()
# What docs/results/photos was measured with; an anchor more costs minutes to an hour.
anchors = ["vvc@47,42,37,32", "vvc@scale=0.75@47,42,37", "vvc@scale=0.5@42,37,32,27"]
# The best points of VVC on pictures of any scale, as an anchor of its own.
fronts = dict(vvc_scaled=["vvc", "vvc-0.75", "vvc-0.5"])
# The anchors' points, measured before.
kept = "docs/results/photos/anchors.json.xz"
samples = 3
resamples = 1000
report = dict(
    title="A codec for photographs, trained through YOLOX-nano",
    targets=dict(det_mAP=-61.16),
    notes=[
        "The target is the source paper's figure, on all of COCO with VTM as the anchor.",
        "Levels, lengths and learning rates were chosen on pictures of COCO's train set (the split "
        "tune); nothing was chosen on the 328 pictures that are measured here.",
    ],
)
