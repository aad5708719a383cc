"""An experiment of configs/experiments: trained, measured, compared and reported."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import get_rank
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from vcm_mt.anchors import make_sweep
from vcm_mt.apis.refined import refining
from vcm_mt.checkpoint import find_checkpoint, zoo_path
from vcm_mt.curves.fronts import front_curve
from vcm_mt.curves.points import Points
from vcm_mt.curves.rp_file import LEARNED, RPFile
from vcm_mt.curves.seeds import seeds_markdown
from vcm_mt.curves.table import rp_table_markdown
from vcm_mt.errors import CommandError
from vcm_mt.evaluation.codecs import TrainedCodec
from vcm_mt.evaluation.curve_set import Curves, versions
from vcm_mt.evaluation.experiment import Experiment, trained
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.models.refiner import Known
from vcm_mt.report.report import Wording, write_report
from vcm_mt.report.results import write_results
from vcm_mt.report.strip import receiver_strip
from vcm_mt.training.config import (
    check_inputs,
    load_config,
)
from vcm_mt.training.experiment import (
    VARIABLE,
    jobs,
    receiver_file,
    seed_file,
    train_levels,
    train_others,
    train_receivers,
    train_seeds,
    train_variable,
    variable_file,
)
from vcm_mt.training.processes import share_of_cores
from vcm_mt.training.stage1 import starting_from

#: The largest width and height of the strip of receivers' pictures, in pixels.
_STRIP = (2000, 4000)


def run(config_path: str, folder: Path) -> None:
    """Prepare, train, measure and report."""
    start = time.monotonic()
    config = load_config(config_path)
    plan, levels = config.stage2, config.measured
    check_inputs(config)
    say(1, f"stage 1 for detection, levels {levels}")
    if config.get("zoo"):
        print("they are in the zoo; zoo.json has the commands that trained them")
    else:
        train_levels(config, folder / "stage1_det")
    say(2, f"stage 2, receivers for {', '.join(plan.tasks)}, levels {plan.levels}")
    if not config.get("zoo"):
        train_receivers(config, folder)
    if config.variable:
        train_variable(config, folder)
    train_others(config, folder)
    if config.seeds:
        train_seeds(config, folder)
    say(3, "measuring on real bytes")
    measure_together(config_path, folder)
    found = measure(config, folder)
    strip(config, folder)
    say(4, "BD-rates, pictures")
    text, rates = write_results(found, folder, resamples=config.resamples)
    print("\n" + text)
    if config.seeds:
        print(measure_seeds(config, folder, found))
    page = write_report(found, rates, folder, Wording(**config.report))
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes. Curves, pictures and losses:")
    print(f"    .venv/bin/tensorboard --logdir {folder}")
    print(f"    {page}")


def measure_together(config_path: str, folder: Path) -> None:
    """Every pass over the pictures, shared out among as many processes as there are cores for.

    Raises:
        CommandError: When one of them fails; it has said why.
    """
    if jobs() == 1:
        return
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc_per_node", str(jobs()), "-m", "vcm_mt", "experiment", config_path),
        *("--out", str(folder), "--measure"),
    ]
    if subprocess.run(command, env=share_of_cores(jobs())).returncode:
        raise CommandError("measuring failed, see above: start again to go on from there")


def measure_all(config: Config, folder: Path) -> None:
    """Measure one process's share; points are stored, and read by the next that asks for them."""
    measure(config, folder)
    one_stream(config, folder)
    if config.seeds:
        seed_curves(config, folder)


def measure(config: Config, folder: Path) -> RPFile:
    """Every curve of the experiment."""
    plan, levels = config.stage2, config.measured
    whole = plan.levels == levels  # receivers at every level: curves of all tasks
    judged = load_config(config.judge)
    experiment = Experiment(judged, folder, None if whole else ["det"], kept_points(config))
    curves = Curves(experiment, config.samples)
    for level in levels:
        files = receivers_of(config, folder, plan.tasks, level) if whole else []
        curves.add_trained("stage1_det", codec_of(config, folder, level), files)
    for name, refined in config.refine.items():
        through = load_config(refined.config) if "config" in refined else config
        known: Known = {}
        for level in refined.levels:
            checkpoint = codec_of(config, folder, level)
            files = receivers_of(config, folder, refined.tasks, level)
            own = files if refined.get("receivers") else []  # that their tasks look through
            refiner = refining(through, checkpoint, refined.steps, known=known, receivers=own)
            curves.add_trained(name, checkpoint, files, transmitter=refiner)
    if config.variable:
        files = [variable_file(folder, task) for task in config.variable.tasks]
        curves.add_trained(VARIABLE, find_checkpoint(folder / VARIABLE), files)
    for name, other in config.others.items():
        for level in other.levels:
            curves.add_trained(name, find_checkpoint(folder / name / f"q{level}"))
    for name, checkpoints in config.get("learned", {}).items():
        for checkpoint in checkpoints:
            curves.add_trained(name, Path(checkpoint), role=LEARNED)
    for number, checkpoint in enumerate(config.mse_codecs, start=1):
        curves.add_untrained("mse_codec", starting_from(config, checkpoint), number)
    for entry in config.anchors:
        curves.add_anchor(*make_sweep(entry))
    if (kept := config.get("kept")) and get_rank() == 0:
        experiment.store.pack(folder / Path(kept).name, lambda record: "qp" in record["of"])
    for name, of in config.get("fronts", {}).items():
        curves.found[name] = front_curve(curves.found, of, "det_mAP")
    made_with = {**versions(), "command": shlex.join(["python", *sys.argv])}
    return curves.file(made_with)


def codec_of(config: Config, folder: Path, level: int) -> Path:
    """A level of stage 1: a trained one, or the zoo's."""
    if zoo := config.get("zoo"):
        return Path(zoo.codec.format(level=level))
    return find_checkpoint(folder / "stage1_det" / f"q{level}")


def receivers_of(config: Config, folder: Path, tasks: list[str], level: int) -> list[Path]:
    """A level's receivers for some tasks: trained ones, or the zoo's."""
    if zoo := config.get("zoo"):
        return [Path(zoo[task].format(level=level)) for task in tasks]
    return [receiver_file(folder, task, level) for task in tasks]


def kept_points(config: Config) -> Path | None:
    """Points that were measured before: the zoo's, or the experiment's own after its first run."""
    if own := config.get("kept"):
        return Path(own) if Path(own).is_file() else None
    return zoo_path("points").with_suffix(".json.xz")


def seed_curves(config: Config, folder: Path) -> Curves:
    """The points of the other seeds, each as a curve of its own."""
    plan = config.seeds
    curves = Curves(Experiment(load_config(config.judge), folder, ["det", "segm"]))
    for seed in plan.seeds:
        checkpoint = find_checkpoint(folder / "seeds" / f"seed{seed}" / f"q{plan.level}")
        files = [seed_file(folder, task, seed, plan.level) for task in plan.tasks]
        curves.add_trained(f"seed{seed}", checkpoint, files)
    return curves


def measure_seeds(config: Config, folder: Path, found: RPFile) -> str:
    """A level that was trained with several seeds: ``seeds.json``, and a table, ``seeds.md``."""
    plan = config.seeds
    names = {"shared": "stage1_det"} | {task: f"stage1_det_{task}" for task in plan.tasks}
    own = {name: found.curves[name].points for name in names.values()}
    first = {n: next(p for p in points if p.quality == plan.level) for n, points in own.items()}
    seeds = {config.randomness.seed: first}
    curves = seed_curves(config, folder)
    for seed in plan.seeds:
        ends = {"shared": f"seed{seed}"} | {task: f"seed{seed}_{task}" for task in plan.tasks}
        seeds[seed] = {names[r]: curves.found[end].points[0] for r, end in ends.items()}
    curves.file({**versions(), "command": shlex.join(["python", *sys.argv])}).save(
        folder / "seeds.json"
    )
    anchor = found.points("vvc")
    columns = [("stage1_det", "det_mAP"), ("stage1_det", "segm_mAP")]
    columns += [(f"stage1_det_{task}", f"{task}_mAP") for task in plan.tasks]
    text = seeds_markdown(own, anchor, seeds, columns)
    (folder / "seeds.md").write_text(text, encoding="utf-8")
    return text


def one_stream(config: Config, folder: Path) -> tuple[TestSet, TrainedCodec, Points]:
    """A level's receivers, all judged by both tasks."""
    plan = config.stage2
    level = plan.levels[len(plan.levels) // 2]
    files = receivers_of(config, folder, plan.tasks, level)
    (codec,) = trained(codec_of(config, folder, level), files)
    judged = load_config(config.judge)
    tasks = [task for task in ("det", "segm") if task in judged.evaluators]
    experiment = Experiment(judged, folder, tasks)
    return experiment.data, codec, experiment.points(codec)


def strip(config: Config, folder: Path) -> None:
    """Draw a few pictures as every receiver sees them, as a file and for TensorBoard."""
    data, codec, points = one_stream(config, folder)
    if config.stage2.levels != config.measured:
        text = rp_table_markdown(
            {name: [point] for name, point in points.items()}, [*points["shared"].metrics]
        )
        (folder / "receivers.md").write_text(text, encoding="utf-8")
        print(f"\nThe receivers of one bitstream:\n\n{text}")
    pixels = receiver_strip(data, codec)
    shown = Image.fromarray(pixels)
    shown.thumbnail(_STRIP)
    shown.save(folder / "receivers.jpg", quality=90)
    with SummaryWriter(str(folder / "receivers")) as writer:
        writer.add_image("receivers", pixels, dataformats="HWC")


def say(step: int, what: str) -> None:
    """Announce a step."""
    print(f"\n== {step}/4 {what}", flush=True)
