"""Train stage 1 of a codec at one or more qualities, or a task network of the zoo.

A config of stage 2 is handed to `vcm-mt finetune`.

Examples:
    vcm-mt train configs/mini/stage1_det.py --quality 1 2 3
    vcm-mt train configs/stage1_det.py --dry-run
    vcm-mt train configs/stage1_det.py --resume --cfg-options train_dataloader.batch_size=4
    vcm-mt train configs/photos/stage1_det_own.py --pictures holidays/    no labels needed
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vcm_mt.cli import finetune
from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("train", __doc__)
    parser.add_argument("config", help="config file")
    add.add_quality(parser, "qualities to train one after another; default all of the config")
    add.add_work_dir(parser)
    add.add_pictures(parser)
    add.add_resume(parser, "go on from the last checkpoint")
    add.add_amp(parser, None, "the codec's transforms and the frozen networks")
    add.add_dry_run(parser)
    add.add_launcher(parser)
    add.add_config_options(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Train every quality that was asked for, or do a dry run of the last one."""
    from vcm_mt.training.config import default_work_dir, load_config

    config = load_config(options.config, options.cfg_options)
    if config.get("model", {}).get("type") == "ReceiverSystem":
        return finetune.run(finetune.parse(["--config", options.config], options))
    from vcm_mt.datasets.films import folder_of
    from vcm_mt.training.dry_run_report import dry_run_report
    from vcm_mt.training.finetune import use_pictures
    from vcm_mt.training.stage1 import rehearse_level, train_levels

    work_dir = options.work_dir or default_work_dir(config)
    if options.pictures:
        use_pictures(config, *map(folder_of, options.pictures))
    if options.dry_run:
        rehearsal = rehearse_level(config, work_dir, options.quality, options.amp)
        print(dry_run_report(rehearsal))
        return 1 if rehearsal.problems else 0
    rates = train_levels(
        config, work_dir, options.quality, options.resume, options.amp, options.launcher
    )
    if rates:
        print("\n" + rates)
    return 0


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Train."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    add.check_pictures(parser, options)
    return run(options)
