"""An experiment on one transmitter and the receivers of many tasks, which look at several sets."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from tabulate import tabulate

from vcm_mt.anchors import make_sweep
from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.curves.rp import metric_title
from vcm_mt.curves.rp_file import RPFile
from vcm_mt.evaluation.curve_set import Curves, versions
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.files import write_atomically
from vcm_mt.report.experiment import measure_together, say
from vcm_mt.report.results import RATES, write_results
from vcm_mt.report.video_experiment import receiver_file, train_receivers
from vcm_mt.training.config import check_inputs, load_config
from vcm_mt.training.processes import run_commands

CURVE = "stage1_all"
TABLE, SCORES = "table.md", "scores.json"


def run(config_path: str, folder: Path) -> None:
    """Train, measure and report."""
    start = time.monotonic()
    config = load_config(config_path)
    check_inputs(config)
    for part in config.parts.values():
        check_inputs(load_config(part.judge), ["test"])
    say(1, "stage 1 through all tasks")
    train(config, folder)
    say(2, "receivers")
    train_receivers(config.receivers, folder, config.receiver_iters)
    say(3, "measuring on real bytes")
    measure_together(config_path, folder)
    rates: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    for name, found in measure(config, folder):
        own, _ = write_results(found, folder / name, config.resamples)
        print(f"\n{name}:\n{own}")
        told = json.loads((folder / name / RATES).read_bytes())
        rates |= {task: told[task] for task in config.parts[name].tasks if task in told}
        if "people" in config.parts[name]:
            rates |= {metric: told[metric] for metric in ("psnr", "ms_ssim") if metric in told}
        scores |= _scores(found, config.parts[name].tasks)
    write_atomically(folder / RATES, [json.dumps(rates, indent=1).encode() + b"\n"])
    write_atomically(folder / SCORES, [json.dumps(scores, indent=1).encode() + b"\n"])
    text = table(rates)
    write_atomically(folder / TABLE, [text.encode()])
    print(f"\n{text}\n{(time.monotonic() - start) / 60:.1f} minutes: {folder}")


def train(config: Config, folder: Path) -> None:
    """Train stage 1, unless it is there."""
    place = folder / "stage1"
    command = [
        sys.executable, "-m", "vcm_mt", "train", config.stage1_config, "--resume",
        "--work-dir", str(place), "--cfg-options", "train_cfg.val_begin=1000000000",
    ]  # fmt: skip
    run_commands({} if (place / "done").is_file() else {"stage1": command}, 1, show="Iter(")
    (place / "done").touch()


def measure(config: Config, folder: Path) -> Iterator[tuple[str, RPFile]]:
    """The curves of every set, one after another."""
    checkpoint = find_checkpoint(folder / "stage1")
    for name, part in config.parts.items():
        judge = load_config(part.judge)
        judge.test_dataloader.dataset.indices = part.get("pictures")  # so many, from the first on
        experiment = Experiment(judge, folder / name, part.tasks)
        curves = Curves(experiment)
        files = [receiver_file(folder, task) for task in part.receivers]
        curves.add_trained(CURVE, checkpoint, files, part.levels)
        for entry in part.anchors:
            curves.add_anchor(*make_sweep(entry))
        made_with = {**versions(), "command": shlex.join(["python", *sys.argv])}
        yield name, curves.file(made_with)


def measure_all(config: Config, folder: Path) -> None:
    """Measure one process's share."""
    for _ in measure(config, folder):
        pass


def table(rates: dict[str, Any]) -> str:
    """BD-rates of each task by its own receiver and by the shared decoder, in Markdown."""
    body = []
    for task, curves in rates.items():
        own = f"{CURVE}_{'human' if task in ('psnr', 'ms_ssim') else task}"
        found = [_against_vvc(curves.get(name, {})) for name in (own, CURVE)]
        metric = next((rate["metric"] for rate in found if rate), task)
        body.append([metric_title(metric), *map(_cell, found)])
    headers = ("BD-rate against VVC, all intra", "the task's receiver", "shared decoder")
    return tabulate(body, headers, tablefmt="github") + "\n"


def _against_vvc(by_anchor: dict[str, Any]) -> dict[str, Any] | None:
    return next((rate for name, rate in by_anchor.items() if name.startswith("vvc")), None)


def _cell(rate: dict[str, Any] | None) -> str:
    """A BD-rate with its interval; "none" where the curves share no score."""
    if rate is None or rate.get("value") is None:
        return "none"
    low, high = rate.get("bootstrap") or (None, None)
    span = f" [{low:+.1f}, {high:+.1f}]" if low is not None and high is not None else ""
    return f"{rate['value']:+.1f} %{span}"


def _scores(found: RPFile, tasks: list[str]) -> dict[str, Any]:
    """By task, its scores on the originals, and each curve's rates and scores."""
    told: dict[str, Any] = {}
    for task in tasks:
        names = [name for name in found.originals if name.startswith(f"{task}_")]
        told[task] = {
            "originals": {name: round(found.originals[name], 3) for name in names},
            **{
                curve: [
                    {"quality": p.quality, "bpp": round(p.bpp, 5)}
                    | {n: round(p.metrics[n], 3) for n in names if n in p.metrics}
                    for p in found.points(curve)
                ]
                for curve in found.curves
            },
        }
    return told
