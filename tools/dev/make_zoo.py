"""Train every network of the mini zoo anew and export it: hours on two cores, resumable.

python tools/dev/make_zoo.py
python tools/dev/make_zoo.py --points work_dirs/bench_rp    # or ship what the demo compares with
"""

from __future__ import annotations

import argparse
import json
import lzma
import subprocess
import sys
from pathlib import Path

from vcm_mt.anchors import Anchor, make_sweep
from vcm_mt.checkpoint import zoo_path
from vcm_mt.cli.command import command
from vcm_mt.datasets.mini import prepare
from vcm_mt.datasets.mini.figure_writer import prepare_figures
from vcm_mt.datasets.mini.motion_writer import prepare_motions
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.evaluation.codecs import AnchorCodec, CodecUnderTest, Originals
from vcm_mt.evaluation.experiment import Experiment, untrained
from vcm_mt.training.config import at_level, load_config

MSE_BASE = "configs/mini/mse_base.py"
MSE_CODEC = "configs/mini/mse_codec.py"

#: Name in the zoo, and the trainings behind it as arguments of tools/train.py; the last
#: one's work dir holds the weights.
NETWORKS = {
    "faster_rcnn": [["configs/mini/tasks/faster_rcnn.py"]],
    "mask_rcnn": [["configs/mini/tasks/mask_rcnn.py"]],
    "retinanet": [["configs/mini/tasks/retinanet.py"]],
    "qdtrack": [["configs/mini/tasks/qdtrack.py"]],
    "hrnet": [["configs/mini/tasks/hrnet.py"]],
    "sem_fpn": [["configs/mini/tasks/sem_fpn.py"]],
    "slowfast": [["configs/mini/tasks/slowfast.py"]],
} | {f"mse_{q}": [[MSE_BASE], [MSE_CODEC, "--quality", str(q)]] for q in (1, 2, 3, 4)}


def work_dir(arguments: list[str]) -> Path:
    """Where tools/train.py puts a training by default."""
    folder = Path("work_dirs", *Path(arguments[0]).with_suffix("").parts[1:])
    return folder / f"q{arguments[2]}" if len(arguments) > 1 else folder


def ship_points(folder: Path) -> None:
    """Put an experiment's points of anchors, MSE codecs and originals into the zoo."""
    config = load_config("configs/experiments/mini.py")
    experiment = Experiment(load_config("configs/mini/stage2_segm.py"), folder)
    codecs: list[CodecUnderTest] = [Originals()]
    for _, anchor, sweep in map(make_sweep, config.anchors):
        assert isinstance(anchor, Anchor)  # of pictures
        codecs += [AnchorCodec(anchor, quality, folder / "streams") for quality in sweep]
    for number, checkpoint in enumerate(config.mse_codecs, start=1):
        start = at_level(config, 1)
        start.merge_from_dict({"model": {"codec": {"checkpoint": checkpoint}}})
        codecs.append(untrained(start, "mse_codec", number))
    records = []
    for codec in codecs:
        experiment.points(codec)
        of = {"data": experiment.data.data_digest, **codec.record}
        records += experiment.store.records(of)
    packed = lzma.compress(json.dumps(records).encode(), preset=9)
    zoo_path("points").with_suffix(".json.xz").write_bytes(packed)


@command("the same command goes on")
def main() -> int:
    """Train what is not finished, export all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=Path, help="an experiment's folder")
    options = parser.parse_args()
    if options.points:
        ship_points(options.points)
        return 0
    prepare(Path("data/mini"))
    prepare_videos(Path("data/mini_videos"))
    prepare_figures(Path("data/mini_figures"))
    prepare_motions(Path("data/mini_motions"))
    for name, trainings in NETWORKS.items():
        for arguments in trainings:
            command = [sys.executable, "tools/train.py", *arguments, "--resume"]
            print("==", " ".join(command[1:]), flush=True)
            if subprocess.run(command, check=False).returncode:
                return 1
        told = " && ".join(f"python tools/train.py {' '.join(a)}" for a in trainings)
        export = [sys.executable, "tools/dev/export_zoo.py", str(work_dir(trainings[-1])), name]
        if subprocess.run([*export, "--command", told], check=False).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
