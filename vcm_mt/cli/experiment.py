"""Train and measure what a config of configs/experiments lists: stage 1, stage 2, all curves.

It can be stopped and resumed. Models and measurements go to work_dirs/experiments/NAME, for the
config's name.

Examples:
    vcm-mt experiment configs/experiments/demo.py
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
    parser = Parser("experiment", __doc__)
    parser.add_argument("config", help="one of configs/experiments")
    add.add_out(parser, "folder of models and measurements")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser


@command("the same command goes on")
def main(arguments: Sequence[str] | None = None) -> None:
    """Run an experiment."""
    options = make_parser().parse_args(arguments)
    from mmengine.logging import MMLogger

    from vcm_mt.report import experiment, tasks_experiment, video_experiment
    from vcm_mt.training.config import load_config
    from vcm_mt.training.processes import keep_memory
    from vcm_mt.training.run import join_processes

    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    config = load_config(options.config)
    kinds: dict[str, Any] = {"videos": video_experiment, "parts": tasks_experiment}
    kind = next((one for name, one in kinds.items() if name in config), experiment)
    folder = options.out or Path("work_dirs/experiments") / Path(options.config).stem
    if options.measure:
        keep_memory()
        join_processes("pytorch")
        kind.measure_all(config, folder)
    else:
        kind.run(options.config, folder)
