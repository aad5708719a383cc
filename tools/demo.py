"""The whole chain on the embedded set: make it, train stage 1, measure, compare with VVC.

python tools/demo.py            minutes: four levels, trained briefly
python tools/demo.py --long     hours: six levels, trained in full; can be stopped and resumed
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from vcm_mt.apis.config import at_level, chains, check_inputs, load_config, qualities
from vcm_mt.apis.processes import run_commands
from vcm_mt.checkpoint import find_checkpoint, zoo_path
from vcm_mt.datasets.mini import prepare
from vcm_mt.errors import ConfigError, VCMError, told
from vcm_mt.evaluation.bd_rate import BDRate
from vcm_mt.evaluation.experiment import Experiment, Rates, bd_rates
from vcm_mt.evaluation.plot import plot_rp_curves
from vcm_mt.evaluation.points import PointStore
from vcm_mt.evaluation.rp import RPPoint
from vcm_mt.evaluation.table import rp_table_markdown

SHORT = ("configs/mini/demo.py", Path("work_dirs/demo"))
LONG = ("configs/mini/stage1_det.py", Path("work_dirs/bench_rp"))
ANCHORS = ("vvc", "mse_codec")


def train_levels(config: Config, work_dir: Path) -> None:
    """Train the levels that are not finished, as many chains at once as there are cores for."""
    keep_recipe(config, work_dir)
    commands = {
        "levels " + ", ".join(map(str, chain)): [
            sys.executable, "tools/train.py", config.filename, "--resume",
            "--work-dir", str(work_dir), "--quality", *map(str, chain),
        ]
        for chain in chains(config, qualities(config))
        if not all((work_dir / f"q{level}" / "done").is_file() for level in chain)
    }  # fmt: skip
    jobs = 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)
    run_commands(commands, jobs, show="Iter(")
    for level in qualities(config):
        (work_dir / f"q{level}" / "done").touch()


def keep_recipe(config: Config, work_dir: Path) -> None:
    """Write down what is trained, and refuse to go on with a training of something else.

    Raises:
        ConfigError: When the folder holds the levels of another config.
    """
    path = work_dir / "recipe.py"
    if path.is_file() and path.read_text() != config.pretty_text:
        raise ConfigError(
            f"{work_dir} holds trainings of another config than {config.filename} is now "
            f"(see {path}): move or delete that folder, then start again"
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(config.pretty_text)


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="the full experiment")
    options = parser.parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    try:
        run(*(LONG if options.long else SHORT))
    except VCMError as error:
        print(told(error), file=sys.stderr)
        return 1
    return 0


def run(config_path: str, folder: Path) -> None:
    """Prepare, train, measure and report."""
    start = time.monotonic()
    config = load_config(config_path)
    levels = qualities(config)
    say(1, "the embedded set")
    prepare(Path(config.data_root))
    check_inputs(config)
    say(2, f"stage 1 for detection, levels {levels}")
    train_levels(config, folder / "stage1_det")
    say(3, "measuring on real bytes")
    store = PointStore(folder / "points.json", zoo_path("points").with_suffix(".json"))
    experiment = Experiment(config, store, folder / "vvc")
    originals = experiment.originals()
    curves = {
        "stage1_det": [
            experiment.codec(
                "stage 1, level",
                level,
                at_level(config, level),
                find_checkpoint(folder / "stage1_det" / f"q{level}"),
            )
            for level in levels
        ],
        "mse_codec": [
            experiment.codec("MSE codec", index, start_from(config, checkpoint), None)
            for index, checkpoint in enumerate(config.mse_codecs, start=1)
        ],
        "vvc": experiment.vvc(),
    }
    say(4, "BD-rates")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rates = bd_rates(curves, ANCHORS, config.model.tasks)
    report(folder, curves, rates, originals, [str(w.message) for w in told])
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes. Curves, pictures and losses:")
    print(f"    .venv/bin/tensorboard --logdir {folder}")


def start_from(config: Config, checkpoint: str) -> Config:
    """The config of a codec as it was before stage 1."""
    start = at_level(config, 1)
    start.merge_from_dict({"model": {"codec": {"checkpoint": checkpoint}}})
    return start


def report(
    folder: Path,
    curves: dict[str, list[RPPoint]],
    rates: Rates,
    originals: dict[str, float],
    remarks: list[str],
) -> None:
    """Write results.json, rp_table.md and rp_curve.png, and print the table."""
    results = {
        "points": {name: [p.to_dict() for p in points] for name, points in curves.items()},
        "originals": originals,
        "bd_rate": each_rate(rates, lambda rate: rate.value),
        "bd_rate_details": each_rate(rates, lambda rate: rate.to_dict()),
        "remarks": remarks,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = rp_table_markdown(curves, ["det_mAP", "psnr"])
    lines = [
        f"BD-rate of {curve} against {anchor}: {rate}"
        for by_curve in rates.values()
        for curve, found in by_curve.items()
        for anchor, rate in found.items()
    ]
    text = "\n".join(
        [
            table,
            f"originals: {originals}",
            "",
            "VVC is VVenC 1.x from the bundled FFmpeg, all intra, preset medium.",
            "",
            *(f"- {line}" for line in lines),
            *(f"- {remark}" for remark in remarks),
        ]
    )
    (folder / "rp_table.md").write_text(text + "\n")
    plot_rp_curves(
        {"vvc": curves["vvc"], **curves},
        "det_mAP",
        folder / "rp_curve.png",
        reference=originals["det_mAP"],
        title="Detection on the embedded set",
        bd_rates={name: found["vvc"] for name, found in rates["det"].items() if "vvc" in found},
    )
    print("\n" + text)


def each_rate(rates: Rates, show: Callable[[BDRate], Any]) -> dict[str, Any]:
    """BD-rates by task, curve and anchor, each as ``show`` makes it."""
    return {
        task: {
            curve: {anchor: show(rate) for anchor, rate in found.items()}
            for curve, found in by_curve.items()
        }
        for task, by_curve in rates.items()
    }


def say(step: int, what: str) -> None:
    """Announce a step."""
    print(f"\n== {step}/4 {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
