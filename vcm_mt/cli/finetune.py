"""Stage 2: train a decoder for one task, or for people, on the bitstream of a trained codec.

python tools/finetune_decoder.py --task segm
python tools/finetune_decoder.py --config configs/mini/stage2_human.py --quality 3
python tools/finetune_decoder.py --task det segm      one decoder for both
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.checkpoint import find_checkpoint, list_checkpoints, read_record
from vcm_mt.cli.command import command
from vcm_mt.cli.options import add_amp
from vcm_mt.datasets.bitstreams import picture_paths, write_bitstreams
from vcm_mt.errors import ConfigError
from vcm_mt.training.config import check_inputs, default_work_dir, load_config
from vcm_mt.training.dry_run import dry_run
from vcm_mt.training.dry_run_report import dry_run_report
from vcm_mt.training.finetune import (
    find_stage1,
    for_tasks,
    level_dir,
    receiver_name,
    use_bitstreams,
    use_pictures,
)
from vcm_mt.training.run import join_processes, train
from vcm_mt.training.work_dir import own_work_dirs
from vcm_mt.version import __version__


def parse_args(
    arguments: Sequence[str] | None = None, known: argparse.Namespace | None = None
) -> argparse.Namespace:
    """Read the command line, or arguments beside options that are known already."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--task", nargs="+", help="names in the config's `tasks`; default the config's `task`"
    )
    parser.add_argument(
        "--config", help="config file; default configs/stage2_TASK.py, of the first task"
    )
    parser.add_argument(
        "--stage1", type=Path, help="stage 1: folder or checkpoint; default the config's"
    )
    parser.add_argument("--quality", type=int, nargs="+", help="levels; default all of stage 1")
    parser.add_argument("--work-dir", type=Path, help="where logs, checkpoints, receivers go")
    parser.add_argument(
        "--from-bitstreams", nargs="?", const=True, metavar="DIR",
        help="code the training set once into DIR (default below the work dir), train on that",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=Path, nargs="+", metavar="DIR",
        help="for people: a folder to train on, perhaps one to validate on, no annotations",
    )  # fmt: skip
    parser.add_argument(
        "--light", type=int, default=0, metavar="RANK",
        help="train a change of low rank to the shared decoder alone: a much smaller file",
    )  # fmt: skip
    parser.add_argument(
        "--deep", type=int, metavar="BLOCKS",
        help="residual blocks over the latent in front of the decoder; default the config's",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    add_amp(parser, None, "the decoder and the frozen networks")
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
    options = parser.parse_args(arguments, known)
    if not (options.task or options.config):
        parser.error("say which receiver: --task NAME, or --config FILE")
    if options.pictures and len(options.pictures) > 2:
        parser.error("--pictures takes one folder or two")
    if options.dry_run and options.from_bitstreams:
        parser.error("--dry-run codes no training set: leave --from-bitstreams out")
    return options


def use_options(config: Config, checkpoint: Path, options: argparse.Namespace) -> None:
    """Fill in what a config leaves open."""
    config.model.stage1 = str(checkpoint)
    config.model.rank = options.light
    config.model.depth = options.deep
    if options.pictures:
        use_pictures(config, *options.pictures)


def prepare(config: Config, checkpoint: Path, work_dir: Path, options: argparse.Namespace) -> None:
    """The same, and code the training set if that was asked for."""
    use_options(config, checkpoint, options)
    if not options.from_bitstreams:
        check_inputs(config)
        return
    given = options.from_bitstreams
    folder = work_dir / "bitstreams" if given is True else Path(given)
    root, mirrored = use_bitstreams(config, folder, checkpoint)
    check_inputs(config)
    pictures = picture_paths(config)
    num_bytes = write_bitstreams(Transmitter.load(checkpoint), pictures, root, folder, mirrored)
    if is_main_process():
        print(f"{folder}: {num_bytes} bytes for {len(pictures)} pictures")


def check_same(work_dir: Path, options: argparse.Namespace) -> None:
    """Make sure that a training which is to be gone on with is this one.

    Raises:
        ConfigError: When it is another receiver's.
    """
    record = read_record(find_checkpoint(work_dir))
    wanted = {"tasks": options.task, "rank": options.light, "depth": options.deep}
    there = {"rank": 0, "depth": 0, **record}
    other = [key for key, value in wanted.items() if there.get(key) != value]
    if other:
        raise ConfigError(
            f"{work_dir} holds the training of another receiver (its {', '.join(other)}): "
            "give another --work-dir, or leave --resume out"
        )


def receiver_file(work_dir: Path, name: str) -> Path:
    """Where a level's receiver goes."""
    return work_dir / f"{name}.safetensors"


def export(
    config: Config, work_dir: Path, name: str, checkpoint: Path, options: argparse.Namespace
) -> None:
    """Write the receiver's file, with a record of how it was trained."""
    receiver = Receiver.load(find_checkpoint(work_dir))
    receiver.record["training"] = {
        "vcm_mt": __version__,
        "config": config.filename,
        "stage1": str(checkpoint),
        "iterations": config.train_cfg.max_iters,
        "batch_size": config.train_dataloader.batch_size,
        "seed": config.randomness.seed,
        "from_bitstreams": bool(options.from_bitstreams),
    }
    target = receiver_file(work_dir, name)
    receiver.save(target)
    print(f"{target}: {target.stat().st_size} bytes")


def finetune(options: argparse.Namespace) -> int:
    """Train a receiver for every level that was asked for, or rehearse it for the last one."""
    path = options.config or f"configs/stage2_{options.task[0]}.py"
    config = load_config(path, options.cfg_options)
    options.task = options.task or config.get("task") or []
    if options.deep is None:
        options.deep = 0 if options.light else config.model.get("depth", 0)
    config = for_tasks(config, options.task)
    name = receiver_name(options.task)
    own = f"stage2_{name}_light" if options.light else f"stage2_{name}"
    root = options.work_dir or default_work_dir(config).with_name(own)
    levels = find_stage1(options.stage1 or Path(config.stage1), options.quality)
    if 0 in levels and options.quality:
        raise ConfigError("one receiver serves all levels of that stage 1: leave --quality out")
    if options.dry_run:
        quality, checkpoint = list(levels.items())[-1]
        use_options(config, checkpoint, options)
        found = dry_run(config, level_dir(root, quality), options.amp)
        print(dry_run_report(found))
        return 1 if found.problems else 0
    for quality in levels:
        if (target := receiver_file(level_dir(root, quality), name)).is_dir():
            raise ConfigError(f"{target} is a folder: move it, the receiver's file goes there")
    join_processes(options.launcher, config)
    with own_work_dirs(level_dir(root, quality) for quality in levels):
        for quality, checkpoint in levels.items():
            train_receiver(config, level_dir(root, quality), name, checkpoint, options)
    return 0


def train_receiver(
    config: Config, work_dir: Path, name: str, checkpoint: Path, options: argparse.Namespace
) -> None:
    """Train one level's receiver, and write its file."""
    if options.resume and list_checkpoints(work_dir):
        check_same(work_dir, options)
    level = copy.deepcopy(config)
    prepare(level, checkpoint, work_dir, options)
    train(level, work_dir, options.resume, options.amp, options.launcher)
    if is_main_process():
        export(level, work_dir, name, checkpoint, options)


@command()
def main() -> int:
    """Train, and tell in one line what went wrong."""
    return finetune(parse_args())
