"""Stage 1: trainings of one codec at its quality levels, or one training of a task network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.training.config import (
    at_level,
    check_inputs,
    level_before,
    one_rate,
    qualities,
    training_order,
)
from vcm_mt.training.dry_run import DryRun, dry_run
from vcm_mt.training.run import join_processes, train, write_rates
from vcm_mt.training.work_dir import own_work_dirs


def train_levels(
    config: Config,
    work_dir: Path,
    levels: Sequence[int] | None = None,
    resume: bool = False,
    amp: str | None = None,
    launcher: str = "none",
) -> str:
    """Train every level into ``work_dir/qLEVEL``, those that others go on from first.

    A config without levels is trained into ``work_dir``. Whatever is missing is reported before
    the first training starts.

    Args:
        config: Of stage 1, or of a task network.
        work_dir: Folder for logs and checkpoints.
        levels: By default all of the config.
        resume: See :func:`vcm_mt.training.run.train`, as for the next two.
        amp: Precision.
        launcher: What started the processes.

    Returns:
        The table of :func:`vcm_mt.training.run.write_rates`, in the first process and where a
        level has a target rate; else an empty text.

    Raises:
        ConfigError: When a level, or the training that it goes on from, does not exist.
        DataError: When data or weights are missing.
        TrainingError: When a training cannot go on.
    """
    check_inputs(config)
    order = training_order(config, levels or qualities(config))
    configs = {quality: at_level(config, quality) for quality in order}
    for level in configs.values():
        check_inputs(level)
    _check_starts(config, order, work_dir)
    join_processes(launcher, config)
    folders = {quality: work_dir / f"q{quality}" for quality in order}
    with own_work_dirs([*folders.values()] or [work_dir]):  # those of later levels too
        for quality, level in configs.items():
            before = level_before(config, quality)
            if before is not None:
                level.load_from = str(find_checkpoint(work_dir / f"q{before}"))
            train(level, folders[quality], resume, amp, launcher)
        if not order:
            train(config, work_dir, resume, amp, launcher)
    targets = any("target_bpp" in config.levels[quality - 1] for quality in order)
    return write_rates(work_dir, order) if targets and is_main_process() else ""


def _check_starts(config: Config, levels: Sequence[int], work_dir: Path) -> None:
    """Make sure that the trainings are there which these levels go on from."""
    for quality in levels:
        before = level_before(config, quality)
        if before is not None and before not in levels:
            find_checkpoint(work_dir / f"q{before}")


def rehearse_level(
    config: Config,
    work_dir: Path,
    levels: Sequence[int] | None = None,
    amp: str | None = None,
) -> DryRun:
    """Dry run of the last level; the arguments are those of :func:`train_levels`."""
    if not (wanted := levels or qualities(config)):
        return dry_run(config, work_dir, amp)
    last = wanted[-1]
    return dry_run(at_level(config, last), work_dir / f"q{last}", amp)


def starting_from(config: Config, checkpoint: str) -> Config:
    """The config of a codec that starts training from other weights.

    Args:
        config: Of stage 1; of several levels or rates the first is taken.
        checkpoint: Those weights, as in the config's ``model.codec.checkpoint``.
    """
    several = qualities(config) or config.model.get("gains")
    level = one_rate(config, 1) if several else config.copy()
    level.merge_from_dict({"model": {"codec": {"checkpoint": checkpoint}}})
    return level
