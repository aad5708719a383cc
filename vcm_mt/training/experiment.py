"""The trainings of an experiment of configs/experiments: stage 1, and receivers of stage 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.errors import ConfigError
from vcm_mt.training.config import chains, level_before, qualities
from vcm_mt.training.processes import run_commands

#: The codec for all rates.
VARIABLE = "stage1_det_vbr"
#: Settings that stage 1 does not depend on.
AFTER_TRAINING = (
    *(
        "measured",
        "judge",
        "mse_codecs",
        "anchors",
        "fronts",
        "kept",
        "zoo",
        "samples",
        "resamples",
    ),
    *(
        "learned",
        "resamples",
        "report",
        "stage2",
        "variable",
        "others",
        "seeds",
        "refine",
        "refiner",
    ),
    *("test_cfg", "test_dataloader", "test_evaluator"),
)


def train_levels(config: Config, work_dir: Path) -> None:
    """Train the levels that are not finished, as many chains at once as there are cores for."""
    keep_recipe(config, work_dir)
    commands = {
        "levels " + ", ".join(map(str, chain)): [
            sys.executable, "-m", "vcm_mt", "train", config.filename, "--resume",
            "--work-dir", str(work_dir), "--quality", *map(str, chain),
        ]
        for chain in chains(config, qualities(config))
        if not all((work_dir / f"q{level}" / "done").is_file() for level in chain)
    }  # fmt: skip
    run_commands(commands, jobs(), show="Iter(")
    for level in qualities(config):
        (work_dir / f"q{level}" / "done").touch()


def train_receivers(config: Config, folder: Path, stage1: str = "stage1_det") -> None:
    """Train the receivers of a stage 1 that are not there yet."""
    plan = config.stage2
    commands = {
        f"{task}, level {level}": [
            sys.executable, "-m", "vcm_mt", "finetune", "--task", task, "--resume",
            "--config", plan.config.format(task=task), "--stage1", str(folder / stage1),
            "--quality", str(level), "--work-dir", str(receivers(folder, task, stage1)),
            # Measured later, all of them on the same bytes.
            "--cfg-options", *settings(plan, task), "train_cfg.val_begin=1000000000",
        ]
        for level in plan.levels
        for task in plan.tasks
        if not receiver_file(folder, task, level, stage1).is_file()
    }  # fmt: skip
    run_commands(commands, jobs(), show="Iter(")


def settings(plan: Config, task: str) -> list[str]:
    """How a task's receiver is trained: ``max_iters`` of all or by task, and its ``options``."""
    count = plan.max_iters if isinstance(plan.max_iters, int) else plan.max_iters[task]
    own = plan.get("options", {}).get(task, {})
    return [
        f"train_cfg.max_iters={count}",
        f"param_scheduler.1.T_max={count}",
        *(f"{key}={value}" for key, value in own.items()),
    ]


def train_variable(config: Config, folder: Path) -> None:
    """Train the codec for all rates from a level of stage 1, and its receivers."""
    plan, place = config.variable, folder / VARIABLE
    start = find_checkpoint(folder / "stage1_det" / f"q{plan.after}")
    stage1 = [
        sys.executable, "-m", "vcm_mt", "train", plan.config, "--resume", "--work-dir", str(place),
        "--cfg-options", f"load_from={start}",
    ]  # fmt: skip
    run_commands({} if (place / "done").is_file() else {"all rates": stage1}, 1, show="Iter(")
    (place / "done").touch()
    commands = {
        f"{task}, all rates": [
            sys.executable, "-m", "vcm_mt", "finetune", "--task", task, "--resume",
            "--config", config.stage2.config.format(task=task), "--stage1", str(place),
            "--work-dir", str(receivers(folder, task, VARIABLE)),
            "--cfg-options", "train_cfg.val_begin=1000000000",
        ]
        for task in plan.tasks
        if not variable_file(folder, task).is_file()
    }  # fmt: skip
    run_commands(commands, jobs(), show="Iter(")


def train_others(config: Config, folder: Path) -> None:
    """Train some levels further through other networks, for the matrix of networks."""
    commands = {
        f"{name}, level {level}": [
            sys.executable, "-m", "vcm_mt", "train", plan.config, "--resume",
            "--quality", str(level), "--work-dir", str(folder / name),
            "--cfg-options", f"levels.{level - 1}.after=None",
            f"load_from={find_checkpoint(folder / 'stage1_det' / f'q{level}')}",
            f"train_cfg.max_iters={plan.max_iters}", f"param_scheduler.1.T_max={plan.max_iters}",
            "train_cfg.val_begin=1000000000",
        ]
        for name, plan in config.others.items()
        for level in plan.levels
        if not (folder / name / f"q{level}" / "done").is_file()
    }  # fmt: skip
    run_commands(commands, jobs(), show="Iter(")
    for name, plan in config.others.items():
        for level in plan.levels:
            (folder / name / f"q{level}" / "done").touch()


def train_seeds(config: Config, folder: Path) -> None:
    """Train one level, and its receivers, with other seeds."""
    plan, place = config.seeds, folder / "seeds"
    level = str(plan.level)
    own = {seed: place / f"seed{seed}" for seed in plan.seeds}
    stage1 = {
        f"level {level}, seed {seed}": last_pass(
            config, config.filename, folder, own[seed], plan.level, f"randomness.seed={seed}"
        )
        for seed in plan.seeds
        if not (own[seed] / "done").is_file()
    }
    run_commands(stage1, jobs(), show="Iter(")
    for seed in plan.seeds:
        (own[seed] / "done").touch()
    stage2 = {
        f"{task}, level {level}, seed {seed}": [
            sys.executable, "-m", "vcm_mt", "finetune", "--task", task, "--resume",
            "--config", config.stage2.config.format(task=task), "--stage1", str(own[seed]),
            "--quality", level, "--work-dir", str(place / f"{task}_seed{seed}"),
            "--cfg-options", f"randomness.seed={seed}", *settings(config.stage2, task),
            "train_cfg.val_begin=1000000000",
        ]
        for seed in plan.seeds
        for task in plan.tasks
        if not seed_file(folder, task, seed, plan.level).is_file()
    }  # fmt: skip
    run_commands(stage2, jobs(), show="Iter(")


def last_pass(
    config: Config, path: str, folder: Path, own: Path, level: int, *options: str
) -> list[str]:
    """The command that trains a level in a folder of its own, from where stage 1's began."""
    own.mkdir(parents=True, exist_ok=True)
    before = level_before(config, level)
    if before is not None and not (start := own / f"q{before}").exists():
        start.symlink_to((folder / "stage1_det" / f"q{before}").resolve())
    return [
        sys.executable, "-m", "vcm_mt", "train", path, "--resume", "--quality", str(level),
        "--work-dir", str(own), "--cfg-options", *options,
    ]  # fmt: skip


def seed_file(folder: Path, task: str, seed: int, level: int) -> Path:
    """A receiver that was trained with another seed, on a stage 1 of that seed."""
    return folder / "seeds" / f"{task}_seed{seed}" / f"q{level}" / f"{task}.safetensors"


def receivers(folder: Path, task: str, stage1: str) -> Path:
    """The folder of a stage 1's receivers for a task."""
    return folder / f"stage2_{task}{stage1.removeprefix('stage1_det')}"


def variable_file(folder: Path, task: str) -> Path:
    """A receiver of the codec for all rates."""
    return receivers(folder, task, VARIABLE) / f"{task}.safetensors"


def receiver_file(folder: Path, task: str, level: int, stage1: str = "stage1_det") -> Path:
    """Where `vcm-mt finetune` puts a receiver of one level."""
    return receivers(folder, task, stage1) / f"q{level}" / f"{task}.safetensors"


def jobs() -> int:
    """How many trainings run at once."""
    return 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)


def keep_recipe(config: Config, work_dir: Path) -> None:
    """Write down what is trained, and refuse to go on with a training of something else.

    Raises:
        ConfigError: When the folder holds the levels of another config.
    """
    path = work_dir / "recipe.py"
    recipe = Config({k: v for k, v in config.items() if k not in AFTER_TRAINING}).pretty_text
    if path.is_file() and path.read_text(encoding="utf-8") != recipe:
        raise ConfigError(
            f"{work_dir} holds trainings of another config than {config.filename} is now "
            f"(see {path}): move or delete that folder, then start again"
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(recipe, encoding="utf-8")
