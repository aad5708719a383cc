"""Train: stage 1 of a codec at one or more quality levels, or a task network of the zoo.

A config of stage 2 goes to tools/finetune_decoder.py.

python tools/train.py configs/mini/stage1_det.py --quality 1 2 3
python tools/train.py configs/stage1_det.py --dry-run
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process

from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.cli.command import command
from vcm_mt.cli.finetune import finetune
from vcm_mt.cli.finetune import parse_args as finetune_args
from vcm_mt.cli.options import add_amp
from vcm_mt.training.config import (
    at_level,
    check_inputs,
    default_work_dir,
    level_before,
    load_config,
    qualities,
    training_order,
)
from vcm_mt.training.dry_run import dry_run
from vcm_mt.training.dry_run_report import dry_run_report
from vcm_mt.training.run import join_processes, train, write_rates
from vcm_mt.training.work_dir import own_work_dirs


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--quality", type=int, nargs="+", help="levels to train one after another; default all"
    )
    parser.add_argument("--work-dir", type=Path, help="where logs and checkpoints go")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    add_amp(parser, None, "the codec's transforms and the frozen networks")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check data, weights, memory, disk and one step of the last level, and write nothing",
    )
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="settings to override, key=value"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    return parser.parse_args()


def rehearse(config: Config, work_dir: Path, options: argparse.Namespace) -> int:
    """Print what a dry run finds, of one level."""
    levels = options.quality or qualities(config)[-1:]
    level = at_level(config, levels[-1]) if levels else config
    found = dry_run(level, work_dir / f"q{levels[-1]}" if levels else work_dir, options.amp)
    print(dry_run_report(found))
    return 1 if found.problems else 0


def train_all(options: argparse.Namespace) -> int:
    """Train every level that was asked for, or rehearse the last one."""
    config = load_config(options.config, options.cfg_options)
    if config.get("model", {}).get("type") == "ReceiverSystem":
        return finetune(finetune_args(["--config", options.config], options))
    work_dir = options.work_dir or default_work_dir(config)
    if options.dry_run:
        return rehearse(config, work_dir, options)
    check_inputs(config)
    run = partial(train, resume=options.resume, amp=options.amp, launcher=options.launcher)
    levels = training_order(config, options.quality or qualities(config))
    configs = {quality: at_level(config, quality) for quality in levels}
    for level in configs.values():
        check_inputs(level)
    for quality in levels:  # all that is missing is told before anything runs
        before = level_before(config, quality)
        if before is not None and before not in levels:
            find_checkpoint(work_dir / f"q{before}")
    join_processes(options.launcher, config)
    folders = [work_dir / f"q{quality}" for quality in levels]
    with own_work_dirs(folders or [work_dir]):  # those of later levels too
        for (quality, level), folder in zip(configs.items(), folders, strict=True):
            before = level_before(config, quality)
            if before is not None:
                level.load_from = str(find_checkpoint(work_dir / f"q{before}"))
            run(level, folder)
        targets = any("target_bpp" in config.levels[quality - 1] for quality in levels)
        if targets and is_main_process():
            print("\n" + write_rates(work_dir, levels))
        if not levels:
            run(config, work_dir)
    return 0


@command()
def main() -> int:
    """Train, and tell in one line what went wrong."""
    return train_all(parse_args())
