r"""Run MPEG's test conditions of a data set: its anchor, a trained codec, and their BD-rates.

The config says which pictures or sequences are coded, which networks judge them by which scores,
and the anchor: VVC by VVenC in the conditions' roles, or by VTM where --anchor names it (vtm,
vtm-ra, vtm-ld, vtm-intra) and its variables are set. Each sequence is coded at the QPs of the
conditions. What was measured is kept: the same command goes on. docs/mpeg.md has the whole way.

Writes NAME_SCORE.csv in the layout of MPEG's reporting template, for the anchor and every receiver,
ctc.json, table.md, and rp_points.json. Under torchrun the pictures are shared out among the
processes.

Examples:
    vcm-mt ctc configs/mpeg/openimages_det.py --dry-run --checkpoint work_dirs/stage1_det
    vcm-mt ctc configs/mpeg/openimages_det.py --checkpoint work_dirs/stage1_det
    vcm-mt ctc configs/mpeg/sfu_det.py --checkpoint zoo://photos_det --anchor vtm-ra
    vcm-mt ctc configs/mpeg/tvd_track.py --checkpoint CHECKPOINT --pooled --qp 27 32 37 42
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command

if TYPE_CHECKING:
    from vcm_mt.report.ctc import Conditions, Tested


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("ctc", __doc__)
    parser.add_argument("config", help="one of configs/mpeg")
    parser.add_argument("--checkpoint", type=Path, nargs="+", default=[], metavar="PATH",
                        help="the codec: checkpoints of stage 1, one a quality, its training's "
                        "folder, or zoo://NAME; default the anchor alone")  # fmt: skip
    parser.add_argument("--receiver", type=Path, nargs="+", default=[], metavar="FILE",
                        help="receivers of stage 2, or their folders")  # fmt: skip
    add.add_quality(parser, "qualities of the codec; default all")
    parser.add_argument("--anchor", metavar="NAME", help="in place of the config's")
    parser.add_argument("--qp", type=int, nargs="+", default=[], metavar="QP",
                        help="the anchor's, in place of the conditions'")  # fmt: skip
    parser.add_argument(
        "--pooled", action="store_true", help="compare classes of sequences, pooled as for FCM"
    )
    parser.add_argument("--judge-through", type=int, metavar="BITS",
                        help="judge decoded pictures after conversion to raw 4:2:0 of so many "
                        "bits and back; --matrix and --range say how")  # fmt: skip
    parser.add_argument("--matrix", choices=add.MATRICES, help=add.MATRIX_HELP)
    parser.add_argument("--range", choices=add.RANGES, help=add.RANGE_HELP)
    add.add_out(parser, "folder for everything; default work_dirs/ctc/CONFIG", metavar="DIR")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check data and weights, code a few pictures, tell the time of all",
    )
    add.add_launcher(parser)
    add.add_config_options(parser)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.receiver and not options.checkpoint:
        parser.error("--receiver needs --checkpoint")
    if options.judge_through not in (None, *range(8, 17)):
        parser.error("--judge-through takes 8 to 16 bits")
    if options.judge_through is None and (options.matrix or options.range):
        parser.error("--matrix and --range go with --judge-through")
    options.out = options.out or Path("work_dirs", "ctc", Path(options.config).stem)
    return options


def _tested(options: argparse.Namespace) -> list[Tested]:
    """Each checkpoint of the codec with the receivers of its level."""
    from vcm_mt.training.levels import find_stage1, receiver_files

    found: list[Tested] = []
    for path in options.checkpoint:
        for level, checkpoint in find_stage1(path, options.quality).items():
            folders = [one for one in options.receiver if one.is_dir()]
            files = [one for one in options.receiver if not one.is_dir()]
            found.append((checkpoint, [*files, *receiver_files(folders, level)]))
    return found


def _conditions(options: argparse.Namespace) -> Conditions:
    from vcm_mt.anchors.yuv import Colours
    from vcm_mt.report.ctc import Conditions, Plan
    from vcm_mt.training.config import check_inputs, load_config

    config = load_config(options.config, options.cfg_options)
    check_inputs(config, ["test"])
    through = None
    if options.judge_through:
        matrix = options.matrix or "bt601"
        through = Colours(options.judge_through, matrix, options.range == "full")
    plan = Plan(options.anchor, options.qp, options.pooled, through)
    return Conditions(config, options.out, plan)


@command("the same command goes on: what was measured is kept")
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare, and write the table."""
    options = _parse(arguments)
    from mmengine.dist import get_rank
    from mmengine.logging import MMLogger

    from vcm_mt.evaluation.curve_set import versions
    from vcm_mt.report.ctc import check_places
    from vcm_mt.training.run import join_processes

    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    join_processes(options.launcher)
    conditions = _conditions(options)
    tested = _tested(options)
    if options.dry_run:
        print(f"{conditions.data.description}: data and weights are there")
        print("\n".join(conditions.estimate(tested)))
        return
    check_places(options.out)
    conditions.measure(tested, options.quality)
    made_with = {**versions(), "command": shlex.join(["python", *sys.argv])}
    found = conditions.file(made_with)
    if get_rank() == 0:
        print("\n" + conditions.write(found))
        print(f"Tables for MPEG's template: {options.out}/*.csv")
