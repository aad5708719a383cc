"""The whole chain on the embedded set: stage 1, stage 2, measured and compared with VVC.

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
from mmengine.registry import DefaultScope
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.config import at_level, chains, check_inputs, load_config, qualities
from vcm_mt.apis.finetune import for_tasks
from vcm_mt.apis.processes import run_commands
from vcm_mt.checkpoint import find_checkpoint, zoo_path
from vcm_mt.datasets.mini import prepare
from vcm_mt.errors import ConfigError, VCMError, told
from vcm_mt.evaluation.bd_rate import BDRate
from vcm_mt.evaluation.experiment import Experiment, Rates, bd_rates, joined
from vcm_mt.evaluation.many_receivers import ManyReceivers, load_receivers, receiver_strip
from vcm_mt.evaluation.plot import plot_rp_curves
from vcm_mt.evaluation.points import PointStore
from vcm_mt.evaluation.rp import RPPoint
from vcm_mt.evaluation.table import rp_table_markdown

SHORT = ("configs/mini/demo.py", Path("work_dirs/demo"))
LONG = ("configs/mini/stage1_det.py", Path("work_dirs/bench_rp"))
ANCHORS = ("vvc", "mse_codec")
PLOTS = {
    "det_mAP": ("rp_curve.png", "Detection on the embedded set"),
    "segm_mAP": ("rp_curve_segm.png", "Instance segmentation on the embedded set"),
    "psnr": ("rp_curve_psnr.png", "For people, on the embedded set"),
}


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
    run_commands(commands, jobs(), show="Iter(")
    for level in qualities(config):
        (work_dir / f"q{level}" / "done").touch()


def train_receivers(config: Config, folder: Path) -> None:
    """Train the receivers of stage 2 that are not there yet."""
    plan = config.stage2
    iterations = [
        f"train_cfg.max_iters={plan.max_iters}",
        f"param_scheduler.1.T_max={plan.max_iters}",
    ]
    commands = {
        f"{task}, level {level}": [
            sys.executable, "tools/finetune_decoder.py", "--task", task, "--resume",
            "--config", plan.config.format(task=task), "--stage1", str(folder / "stage1_det"),
            "--quality", str(level), "--work-dir", str(folder / f"stage2_{task}"),
            # Measured later, all of them on the same bytes.
            "--cfg-options", *iterations, "train_cfg.val_begin=1000000000",
        ]
        for level in plan.levels
        for task in plan.tasks
        if not receiver_file(folder, task, level).is_file()
    }  # fmt: skip
    run_commands(commands, jobs(), show="Iter(")


def receiver_file(folder: Path, task: str, level: int) -> Path:
    """Where tools/finetune_decoder.py puts a receiver."""
    return folder / f"stage2_{task}" / f"q{level}" / f"{task}.safetensors"


def jobs() -> int:
    """How many trainings run at once."""
    return 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)


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
    plan, levels = config.stage2, config.measured
    say(1, "the embedded set")
    prepare(Path(config.data_root))
    check_inputs(config)
    say(2, f"stage 1 for detection, levels {levels}")
    train_levels(config, folder / "stage1_det")
    say(3, f"stage 2, receivers for {', '.join(plan.tasks)}, levels {plan.levels}")
    train_receivers(config, folder)
    say(4, "measuring on real bytes")
    judged = for_tasks(load_config(plan.config.format(task="segm")), ["det", "segm"])
    store = PointStore(folder / "points.json", zoo_path("points").with_suffix(".json"))
    experiment = Experiment(config, store, folder / "vvc")
    receivers = {
        level: Experiment(judged, store, folder / "vvc").receivers(
            level,
            find_checkpoint(folder / "stage1_det" / f"q{level}"),
            [receiver_file(folder, task, level) for task in plan.tasks],
        )
        for level in plan.levels
    }
    curves = {
        "stage1_det": [
            receivers[level]["shared"]
            if level in receivers
            else experiment.codec(
                "stage 1, level",
                level,
                at_level(config, level),
                find_checkpoint(folder / "stage1_det" / f"q{level}"),
            )
            for level in levels
        ]
    }
    if plan.levels == levels:  # whole curves, so segmentation has one to be compared with
        for task in plan.tasks:
            curves[f"stage2_{task}"] = [receivers[level][task] for level in levels]
    curves["mse_codec"] = [
        experiment.codec("MSE codec", index, start_from(config, checkpoint), None)
        for index, checkpoint in enumerate(config.mse_codecs, start=1)
    ]
    curves["vvc"] = experiment.vvc()
    originals = experiment.originals()
    say(5, "BD-rates, pictures")
    strip(folder, judged, plan)
    report(folder, curves, originals, receivers)
    if plan.levels == levels:
        segm = Experiment(for_tasks(judged, ["segm"]), store, folder / "vvc")
        originals |= segm.originals()
        curves["vvc"] = joined([curves["vvc"], segm.vvc()])
        report(folder, curves, originals, receivers)
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes. Curves, pictures and losses:")
    print(f"    .venv/bin/tensorboard --logdir {folder}")


def strip(folder: Path, config: Config, plan: Config) -> None:
    """Draw a few pictures as every receiver sees them, as a file and for TensorBoard."""
    level = plan.levels[len(plan.levels) // 2]
    checkpoint = find_checkpoint(folder / "stage1_det" / f"q{level}")
    files = [receiver_file(folder, task, level) for task in plan.tasks]
    tasks = {name: config.tasks[name] for name in ("det", "segm")}
    receivers = load_receivers(files, checkpoint)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        system = ManyReceivers(tasks, Transmitter.load(checkpoint), receivers)
    pixels = receiver_strip(system.to(next(system.transmitter.network.parameters()).device), config)
    Image.fromarray(pixels).save(folder / "receivers.png")
    with SummaryWriter(str(folder / "receivers")) as writer:
        writer.add_image("receivers", pixels, dataformats="HWC")


def start_from(config: Config, checkpoint: str) -> Config:
    """The config of a codec as it was before stage 1."""
    start = at_level(config, 1)
    start.merge_from_dict({"model": {"codec": {"checkpoint": checkpoint}}})
    return start


def report(
    folder: Path,
    curves: dict[str, list[RPPoint]],
    originals: dict[str, float],
    receivers: dict[int, dict[str, RPPoint]],
) -> None:
    """Write results.json, rp_table.md and the plots, and print the table."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        rates = bd_rates(curves, ANCHORS, ("det", "segm"))
    remarks = [str(warning.message) for warning in heard]
    results = {
        "points": {name: [p.to_dict() for p in points] for name, points in curves.items()},
        "receivers": {
            level: {name: point.to_dict() for name, point in points.items()}
            for level, points in receivers.items()
        },
        "originals": originals,
        "bd_rate": each_rate(rates, lambda rate: rate.value),
        "bd_rate_details": each_rate(rates, lambda rate: rate.to_dict()),
        "remarks": remarks,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        f"BD-rate ({task}) of {curve} against {anchor}: {rate}"
        for task, by_curve in rates.items()
        for curve, found in by_curve.items()
        for anchor, rate in found.items()
    ]
    text = rp_table_markdown(curves, ["det_mAP", "segm_mAP", "psnr"])
    names = next(iter(receivers.values()))
    rows = {name: [points[name] for points in receivers.values()] for name in names}
    metrics = ["det_mAP", "segm_mAP", "psnr", "ms_ssim"]
    text += "\nThe receivers of one bitstream:\n\n" + rp_table_markdown(rows, metrics)
    text += "\n".join(
        [
            f"\noriginals: {originals}",
            "",
            "VVC is VVenC 1.x from the bundled FFmpeg, all intra, preset medium.",
            "",
            *(f"- {line}" for line in lines),
            *(f"- {remark}" for remark in remarks),
        ]
    )
    (folder / "rp_table.md").write_text(text + "\n")
    for metric, (name, title) in PLOTS.items():
        shown = {
            curve: points
            for curve, points in {"vvc": curves["vvc"], **curves}.items()
            if all(metric in point.metrics for point in points)
        }
        if len(shown) < 3:
            continue
        own = rates.get(metric.removesuffix("_mAP"), {})
        plot_rp_curves(
            shown,
            metric,
            folder / name,
            reference=originals.get(metric),
            title=title,
            bd_rates={curve: found["vvc"] for curve, found in own.items() if "vvc" in found},
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
    print(f"\n== {step}/5 {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
