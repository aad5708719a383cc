"""What refinement saves behind detectors of several families, by one setting for all.

python tools/benchmarks/bench_refine.py --pictures 100

The zoo's MSE codecs of the embedded set send its validation pictures plain and refined through
each detector, by the default objective. The figure is the BD-rate of refined against plain streams
by that detector's box mAP, on real bytes. No codec was trained through any detector.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.system import build_system
from vcm_mt.cli.command import command
from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.bootstrap import Bootstrap
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.curves.rp import RPPoint
from vcm_mt.datasets.mini import prepare
from vcm_mt.evaluation.codecs import TrainedCodec
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.models.receivers import named_receivers
from vcm_mt.models.refiner import Refiner
from vcm_mt.training.config import load_config

OUT = Path("work_dirs/bench_refine")
CODECS = ("mse_1", "mse_2", "mse_3", "mse_4")
FAMILIES = ("faster_rcnn", "retinanet")


@command("the same command goes on")
def main() -> int:
    """Measure all families and write a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=300, help="the first so many")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--families", nargs="+", default=FAMILIES, help="networks of the zoo")
    options = parser.parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    prepare(Path("data/mini"))
    rows, told = [], {}
    for family in options.families:
        plain, refined = measured(family, options.pictures, options.steps)
        known = plain[0].pictures
        assert known is not None
        bootstrap = Bootstrap(len(known.num_bytes), 500)
        rate = bd_rate(plain, refined, "det_mAP", bootstrap=bootstrap)
        told[family] = rate.to_dict()
        for a, b in zip(plain, refined, strict=True):
            row = [f"{a.bpp:.3f}", f"{a.metrics['det_mAP']:.1f}"]
            rows.append([family, *row, f"{b.bpp:.3f}", f"{b.metrics['det_mAP']:.1f}", ""])
        rows.append([family, "", "", "", "", str(rate)])
    table = markdown_table(["network", "bpp", "mAP", "refined bpp", "mAP", "BD-rate"], rows)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "refine.json").write_text(json.dumps(told, indent=1) + "\n")
    (OUT / "refine.md").write_text(table)
    print(table)
    return 0


def measured(family: str, pictures: int, steps: int) -> tuple[list[RPPoint], list[RPPoint]]:
    """The points of all codecs, plain and refined through a network of the zoo."""
    config = judge(family, pictures)
    experiment = Experiment(config, OUT / family)
    found: tuple[list[RPPoint], list[RPPoint]] = ([], [])
    for number, name in enumerate(CODECS, start=1):
        system = build_system(stage1(config, name)).eval()
        network = system.transmitter
        ((_, synthesis),) = named_receivers(system.receivers)
        record = {"name": "shared", "transmitter": network.fingerprint()}
        receiver = Receiver(network.entropy, synthesis, record)
        for points, refiner in zip(found, (None, Refiner(system, steps)), strict=True):
            transmitter = Transmitter(network, refiner)
            title = f"{family}, {name}{', refined' if refiner else ''}"
            codec = TrainedCodec(transmitter, {"shared": receiver}, title, number)
            points.append(experiment.points(codec)["shared"])
    return found


def judge(family: str, pictures: int) -> Config:
    """The embedded set's validation pictures, judged by one network."""
    config = load_config("configs/mini/stage2_segm.py")
    config.tasks = {"det": detector(family)}
    config.evaluators = {"det": config.evaluators.det}
    config.test_dataloader.dataset.indices = pictures
    return config


def stage1(config: Config, codec: str) -> Config:
    """A codec of the zoo in front of the judge."""
    system = load_config("configs/mini/stage1_det.py")
    system.model.codec.checkpoint = f"zoo://{codec}"
    system.model.tasks = config.tasks
    system.model.lmbda = 0.5  # of no use here
    return system


def detector(family: str) -> dict[str, str]:
    """A network of the zoo as a task."""
    return {
        "type": "MMDetTask",
        "detector": f"vcm_mt::mini/tasks/{family}.py",
        "checkpoint": f"zoo://{family}",
    }


if __name__ == "__main__":
    sys.exit(main())
