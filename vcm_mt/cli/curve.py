r"""Measure R-P curves: bits per pixel against the tasks' scores, on real bytes and native pixels.

A curve is the folder of a stage 1, then those of its receivers of stage 2; every receiver becomes
a curve of its own on the same bytes. An anchor is a name that is listed below, with a sweep of
qualities behind an @, or its own sweep; vvc@scale=0.5 codes pictures at half their size. All tasks
of the config look at every picture in one pass. What was measured is kept: a run that was stopped
goes on, and one that is done is read.

On a data set of videos each is coded whole, by a codec with a temporal prior predicted; anchors are
vvc-ra, vvc-ld and vvc-intra (random access, low delay, all intra), hevc-ra, av1-ra and so on.

Writes rp_points.json and .csv, bd_rate.json, results.json, rp_table.md, plots, and pictures for
`vcm-mt report`. Under torchrun the pictures are shared out among the processes.

Examples:
    vcm-mt curve configs/mini/stage2_segm.py --out work_dirs/rp \
        --curve ours=work_dirs/bench_rp/stage1_det,work_dirs/bench_rp/stage2_segm \
        --quality 1 2 3 4 5 6 --codec-config configs/mini/stage1_det.py \
        --codec mse=zoo://mse_1,zoo://mse_2,zoo://mse_3,zoo://mse_4 \
        --anchor vvc jpeg hevc@22,27,32,37
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcm_mt.anchors import ANCHORS
from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command
from vcm_mt.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config

    from vcm_mt.evaluation.curve_set import Curves


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("curve", __doc__)
    parser.add_argument("config", help="config with the test pictures, tasks and their metrics")
    add.add_out(parser, "folder for everything", required=True, metavar="DIR")
    parser.add_argument("--curve", nargs="+", default=[], metavar="NAME=STAGE1[,STAGE2...]",
                        help="trained codecs and their receivers, by folder")  # fmt: skip
    parser.add_argument("--codec", nargs="+", default=[], metavar="NAME=WEIGHTS[,WEIGHTS...]",
                        help="codecs as a config starts to train them")  # fmt: skip
    parser.add_argument("--codec-config", metavar="CONFIG",
                        help="config of --codec; default CONFIG itself")  # fmt: skip
    parser.add_argument("--anchor", nargs="+", default=[], metavar="NAME[@scale=S][@Q,Q...]",
                        help=f"of {', '.join(ANCHORS)}")  # fmt: skip
    add.add_quality(parser, "qualities of --curve; default all")
    task = add.add_task(parser, "which of the config's tasks are measured; default all")
    add.add_old_name(parser, "--tasks", task)
    add.add_refine(parser, "default CONFIG; the curves are called NAME_refined")
    add.add_refine_own_receivers(parser)
    parser.add_argument("--samples", type=int, default=4, metavar="COUNT",
                        help="pictures kept for the report; default 4")  # fmt: skip
    add.add_resamples(parser)
    add.add_launcher(parser)
    add.add_config_options(parser)
    return parser


def named(entry: str) -> tuple[str, list[str]]:
    """Name and parts of ``NAME=A,B``; a path that exists may have commas of its own.

    Raises:
        ConfigError: When it is not written so.
    """
    name, _, paths = entry.partition("=")
    if not (name and paths):
        raise ConfigError(f"write NAME=PATH[,PATH...], not {entry!r}")
    parts, rest = [], paths.split(",")
    while rest:
        counts = range(len(rest), 1, -1)
        count = next((n for n in counts if Path(",".join(rest[:n])).exists()), 1)
        parts.append(",".join(rest[:count]))
        rest = rest[count:]
    return name, parts


def _add_trained(curves: Curves, options: argparse.Namespace) -> None:
    from vcm_mt.apis.refined import refining
    from vcm_mt.training.config import load_config
    from vcm_mt.training.levels import find_stage1, receiver_files

    refine = load_config(options.refine_config or options.config) if options.refine else None
    for entry in options.curve:
        name, (stage1, *stage2) = named(entry)
        for level, checkpoint in find_stage1(Path(stage1), options.quality).items():
            files = receiver_files([Path(folder) for folder in stage2], level)
            curves.add_trained(name, checkpoint, files, options.quality)
            if refine is not None:
                through = files if options.refine_own_receivers else []
                codec = refining(refine, checkpoint, options.refine, receivers=through)
                curves.add_trained(f"{name}_refined", checkpoint, files, options.quality, codec)


def _add_all(curves: Curves, options: argparse.Namespace, config: Config) -> None:
    from vcm_mt.anchors import make_sweep
    from vcm_mt.training.config import load_config
    from vcm_mt.training.stage1 import starting_from

    sweeps = [make_sweep(entry) for entry in options.anchor]  # refuses what it does not know
    _add_trained(curves, options)
    start = load_config(options.codec_config) if options.codec_config else config
    for entry in options.codec:
        name, sources = named(entry)
        for number, source in enumerate(sources, start=1):
            curves.add_untrained(name, starting_from(start, source), number)
    for sweep in sweeps:
        curves.add_anchor(*sweep)


def _made_with() -> dict[str, Any]:
    """Versions and the command, to be kept with the points."""
    from vcm_mt.evaluation.curve_set import versions

    return {**versions(), "command": shlex.join(["python", *sys.argv])}


@command("the same command goes on: what was measured is kept")
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    options = make_parser().parse_args(arguments)
    from mmengine.dist import get_rank
    from mmengine.logging import MMLogger

    from vcm_mt.evaluation.curve_set import Curves
    from vcm_mt.evaluation.experiment import Experiment
    from vcm_mt.report.results import check_places, write_results
    from vcm_mt.training.config import check_inputs, load_config
    from vcm_mt.training.run import join_processes

    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    join_processes(options.launcher)
    config = load_config(options.config, options.cfg_options)
    check_inputs(config, ["test"])
    check_places(options.out)
    curves = Curves(Experiment(config, options.out, options.task), options.samples)
    _add_all(curves, options, config)
    if not curves.found:
        raise ConfigError("nothing to measure: name --curve, --codec or --anchor")
    measured = curves.file(_made_with())
    if get_rank() == 0:
        text, _ = write_results(measured, options.out, options.resamples)
        print("\n" + text)
        print(f"A page to look at: vcm-mt report {options.out}")
