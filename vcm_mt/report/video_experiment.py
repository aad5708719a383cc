"""An experiment on videos: frames coded each by itself, and predicted, by the same codec."""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from vcm_mt.anchors import make_sweep
from vcm_mt.anchors.sequences import make_sequence_anchor
from vcm_mt.apis.codec import Transmitter
from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.curves.rp_file import OURS, RPFile
from vcm_mt.evaluation.codecs import Originals
from vcm_mt.evaluation.curve_set import Curves, versions
from vcm_mt.evaluation.experiment import Experiment, load_receivers
from vcm_mt.evaluation.samples import ORIGINALS
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.evaluation.videos import SequenceAnchorCodec, TrainedSequence
from vcm_mt.files import write_atomically
from vcm_mt.report.experiment import measure_together, say
from vcm_mt.report.report import Wording, write_report
from vcm_mt.report.results import write_results
from vcm_mt.report.stored_films import Films
from vcm_mt.training.config import check_inputs, load_config
from vcm_mt.training.experiment import jobs
from vcm_mt.training.processes import run_commands
from vcm_mt.version import __version__

#: What the curves of predicted frames are called after the others.
PREDICTED = "_predicted"
CURVE = "stage1_track"
SAVINGS = "savings.json"


def run(config_path: str, folder: Path) -> None:
    """Train, measure and report."""
    start = time.monotonic()
    config = load_config(config_path)
    check_inputs(config)
    say(1, "stage 1 and its temporal prior")
    train(config, folder)
    say(2, "receivers")
    train_receivers(config.videos.receivers, folder)
    say(3, "measuring on real bytes")
    measure_together(config_path, folder)
    found, data = measure(config, folder)
    say(4, "BD-rates, savings, films")
    keep_films(config, folder, found, data)
    text, rates = write_results(found, folder, resamples=config.resamples)
    print("\n" + text)
    told = savings(found, data)
    write_atomically(folder / SAVINGS, [json.dumps(told, indent=1).encode() + b"\n"])
    print(json.dumps(told))
    page = write_report(found, rates, folder, Wording(**config.report))
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes: {page}")


def train(config: Config, folder: Path) -> None:
    """Train stage 1, then its prior, unless they are there."""
    plan = config.videos
    for part, path in (("stage1", plan.stage1), ("prior", plan.prior)):
        place = folder / part
        own = [f"model.stage1={find_checkpoint(folder / 'stage1')}"] if part == "prior" else []
        train_one = [
            sys.executable, "-m", "vcm_mt", "train", path, "--resume", "--work-dir", str(place),
            "--cfg-options", *own, "train_cfg.val_begin=1000000000",
        ]  # fmt: skip
        run_commands({} if (place / "done").is_file() else {part: train_one}, 1, show="Iter(")
        (place / "done").touch()


def train_receivers(configs: Mapping[str, str], folder: Path, max_iters: int = 0) -> None:
    """Train the receivers that are not there yet, on stage 1 without a prior.

    Args:
        configs: Stage 2's config by task.
        folder: The experiment's.
        max_iters: Iterations of each; by default those of its config.
    """
    length = [f"train_cfg.max_iters={max_iters}", f"param_scheduler.1.T_max={max_iters}"]
    commands = {
        task: [
            sys.executable, "-m", "vcm_mt", "finetune", "--task", task, "--resume",
            "--config", path, "--stage1", str(folder / "stage1"),
            "--work-dir", str(folder / f"stage2_{task}"),
            "--cfg-options", "train_cfg.val_begin=1000000000", *(length if max_iters else []),
        ]
        for task, path in configs.items()
        if not receiver_file(folder, task).is_file()
    }  # fmt: skip
    run_commands(commands, jobs(), show="Iter(")


def receiver_file(folder: Path, task: str) -> Path:
    """Where ``vcm-mt finetune`` puts a receiver."""
    return folder / f"stage2_{task}" / f"{task}.safetensors"


def measure(config: Config, folder: Path) -> tuple[RPFile, TestSet]:
    """Every curve of the experiment."""
    experiment = Experiment(load_config(config.judge), folder, config.videos.tasks)
    curves = Curves(experiment, config.samples)
    for name, interval, codec in trained_sequences(config, folder, config.videos.levels):
        about = {"role": OURS, "name": "vcm_mt", "version": __version__, "key_interval": interval}
        ends = {r: _curve(name, r) for r in codec.receivers}
        curves.add(codec, ends, about, f"{name}: {{}} receiver")
    for entry in config.anchors:
        curves.add_anchor(*make_sweep(entry))
    made_with = {**versions(), "command": shlex.join(["python", *sys.argv])}
    return curves.file(made_with), experiment.data


def trained_sequences(
    config: Config, folder: Path, levels: Iterable[int]
) -> Iterator[tuple[str, int, TrainedSequence]]:
    """Intra and then predicted streams at some levels: curve, key interval and codec."""
    plan = config.videos
    checkpoint = find_checkpoint(folder / "prior")
    transmitter = Transmitter.load(checkpoint)
    files = [receiver_file(folder, task) for task in plan.receivers]
    receivers = load_receivers(files, checkpoint)
    for name, interval in ((CURVE, 1), (CURVE + PREDICTED, plan.key_interval)):
        for level in levels:
            yield name, interval, TrainedSequence(transmitter, receivers, name, level, interval)


def _curve(name: str, receiver: str) -> str:
    return name if receiver == "shared" else f"{name}_{receiver}"


def keep_films(config: Config, folder: Path, found: RPFile, data: TestSet) -> None:
    """Store some videos for the page's player: as they are, intra, predicted, by anchors.

    Each anchor's quality is the one whose bytes of these videos are nearest to those of our
    predicted streams.
    """
    plan = config.videos.get("films")
    if not plan:
        return
    films = Films(folder / "films", data, plan.videos)
    films.keep(Originals(), ORIGINALS)
    for name, _, codec in trained_sequences(config, folder, plan.levels):
        films.keep(codec, _curve(name, plan.receiver), plan.receiver)
    for entry in plan.anchors:
        anchor, curve = make_sequence_anchor(entry), entry.replace(":", "-")
        for quality in sorted({_nearest(found, curve, plan, level) for level in plan.levels}):
            films.keep(SequenceAnchorCodec(anchor, quality), curve)
    films.drop_others()


def _nearest(found: RPFile, curve: str, plan: Any, level: int) -> int:
    """The quality of an anchor's point that costs about what our predicted stream does."""

    def spent(name: str) -> dict[Any, float]:
        points = found.points(name)
        return {p.quality: float(p.pictures.num_bytes[plan.videos].sum())
                for p in points if p.pictures}  # fmt: skip

    own, others = spent(CURVE + PREDICTED)[level], spent(curve)
    nearest: int = min(others, key=lambda quality: abs(math.log(others[quality] / own)))
    return nearest


def measure_all(config: Config, folder: Path) -> None:
    """Measure one process's share."""
    measure(config, folder)


def savings(found: RPFile, data: TestSet) -> dict[str, Any]:
    """Bytes of predicted streams over those of the same codec's intra streams, in percent.

    Returns:
        ``CAMERA.LEVEL``, and ``all.LEVEL``: negative where prediction saves. A video's camera
        follows the underscore in the name of its folder.
    """
    cameras = np.array([Path(data.path(u[0])).parent.name.partition("_")[2] for u in data.units])
    sizes = {
        name: {p.quality: p.pictures.num_bytes for p in found.points(name) if p.pictures}
        for name in (CURVE, CURVE + PREDICTED)
    }
    told: dict[str, Any] = {}
    for camera in [*sorted(set(cameras.tolist())), "all"]:
        own = np.ones(len(cameras), dtype=bool) if camera == "all" else cameras == camera
        told[camera] = {
            f"{level:g}": round(float(100 * (sizes[CURVE + PREDICTED][level][own].sum() /
                                              intra[own].sum() - 1)), 2)
            for level, intra in sizes[CURVE].items()
        }  # fmt: skip
    return told
