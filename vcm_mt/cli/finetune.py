"""Stage 2: train a decoder for a task, or for human viewers, on the bitstream of a trained codec.

The encoder and the entropy coder stay as they are, so that every receiver decodes the same bytes.

Examples:
    vcm-mt finetune --task segm
    vcm-mt finetune --config configs/mini/stage2_human.py --quality 3
    vcm-mt finetune --task det segm             one decoder for both
    vcm-mt finetune --task human --lora 4       a low-rank change alone: a much smaller file
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("finetune", __doc__)
    add.add_task(parser, "names in the config's `tasks`; default the config's `task`")
    parser.add_argument(
        "--config", help="config file; default configs/stage2_TASK.py, of the first task"
    )
    parser.add_argument(
        "--stage1", type=Path, metavar="PATH",
        help="stage 1: a training's folder or checkpoint; default the config's",
    )  # fmt: skip
    add.add_quality(parser, "qualities to train one after another; default all of stage 1")
    add.add_work_dir(parser)
    parser.add_argument(
        "--from-bitstreams", nargs="?", const=True, type=Path, metavar="DIR",
        help="code the training set once into DIR (default below the work dir), train on that",
    )  # fmt: skip
    add.add_pictures(parser)
    _add_receiver_kind(parser)
    add.add_resume(parser, "go on from the last checkpoint")
    add.add_amp(parser, None, "the decoder and the frozen networks")
    add.add_dry_run(parser)
    add.add_launcher(parser)
    add.add_config_options(parser)
    return parser


def _add_receiver_kind(parser: Parser) -> None:
    lora = parser.add_argument(
        "--lora", type=int, default=0, metavar="RANK",
        help="train a change of this rank to the shared decoder alone: a much smaller file",
    )  # fmt: skip
    adapter = parser.add_argument(
        "--adapter", type=int, metavar="BLOCKS",
        help="residual blocks over the latent in front of the decoder; default the config's",
    )  # fmt: skip
    add.add_old_name(parser, "--light", lora)
    add.add_old_name(parser, "--deep", adapter)


def parse(
    arguments: Sequence[str] | None, known: argparse.Namespace | None = None
) -> argparse.Namespace:
    """Parse the command line, or arguments beside options that are parsed already."""
    parser = make_parser()
    options = parser.parse_args(arguments, known)
    if not (options.task or options.config):
        parser.error("say which receiver: --task NAME, or --config FILE")
    add.check_pictures(parser, options)
    if options.dry_run and options.from_bitstreams:
        parser.error("--dry-run codes no training set: leave --from-bitstreams out")
    return options


def run(options: argparse.Namespace) -> int:
    """Train a receiver for every quality that was asked for, or do a dry run of the last one."""
    from vcm_mt.datasets.films import folder_of
    from vcm_mt.training.config import default_config, load_config
    from vcm_mt.training.dry_run_report import dry_run_report
    from vcm_mt.training.stage2 import plan_receiver

    path = options.config or default_config(f"stage2_{options.task[0]}.py")
    config = load_config(path, options.cfg_options)
    training = plan_receiver(
        config, options.task or (), options.stage1, options.quality, options.work_dir,
        options.lora, options.adapter, [*map(folder_of, options.pictures)],
        options.from_bitstreams,
    )  # fmt: skip
    if options.dry_run:
        rehearsal = training.rehearse(options.amp)
        print(dry_run_report(rehearsal))
        return 1 if rehearsal.problems else 0
    training.run(_code_set, _save, options.resume, options.amp, options.launcher)
    return 0


def _code_set(config: Any, checkpoint: Path, root: Path, folder: Path, mirrored: bool) -> int:
    from vcm_mt.apis.codec import Transmitter
    from vcm_mt.datasets.bitstreams import picture_paths, write_bitstreams

    pictures = picture_paths(config)
    return write_bitstreams(Transmitter.load(checkpoint), pictures, root, folder, mirrored)


def _save(checkpoint: Path, file: Path, training: dict[str, Any]) -> None:
    from vcm_mt.apis.codec import Receiver

    receiver = Receiver.load(checkpoint)
    receiver.record["training"] = training
    receiver.save(file)


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Train."""
    return run(parse(arguments))
