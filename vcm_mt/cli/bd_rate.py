"""Compute BD-rates of curves against an anchor, with what a reader needs to trust them.

A file is what `vcm-mt curve` wrote, a CSV table with `bpp` and scores, CompressAI's result JSON, or
CompressAI-Vision's CSV; `paper` names the source paper's tables. FILE:CURVE chooses one curve;
--test without one takes all of the file.

Examples:
    vcm-mt bd-rate --anchor work_dirs/rp/rp_points.json:vvc --test work_dirs/rp/rp_points.json
    vcm-mt bd-rate --anchor paper:vvc --test paper:trained --metric det_mAP segm_mAP
    vcm-mt bd-rate --anchor work_dirs/ctc/anchor.csv --test work_dirs/ctc/test.csv --by-sequence
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command
from vcm_mt.errors import MeasurementError
from vcm_mt.files import check_output, write_atomically

if TYPE_CHECKING:
    from vcm_mt.curves.bd_rate import BDRate


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("bd-rate", __doc__)
    parser.add_argument("--anchor", required=True, metavar="FILE:CURVE", help="the reference curve")
    parser.add_argument(
        "--test", required=True, nargs="+", metavar="FILE[:CURVE]", help="curves under test"
    )
    parser.add_argument(
        "--metric", nargs="+", help="scores to compare at; default all that both curves have"
    )
    parser.add_argument(
        "--method", choices=add.METHODS, default="pchip", help="interpolation; default pchip"
    )
    parser.add_argument(
        "--monotone", choices=add.MONOTONE,
        help="for curves that do not rise: their Pareto front without a warning, or MPEG's fit; "
        "mpeg: MPEG's fit of every curve",
    )  # fmt: skip
    parser.add_argument(
        "--by-sequence", action="store_true",
        help="compare each curve of the --test file with the anchor file's of the same name, by "
        "MPEG's way and by PCHIP, and average",
    )  # fmt: skip
    add.add_resamples(parser)
    add.add_out(parser, "write the figures to this JSON file", metavar="FILE")
    return parser


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print."""
    options = make_parser().parse_args(arguments)
    if options.out:
        check_output(options.out)
    from vcm_mt.curves.table import bd_table_markdown
    from vcm_mt.report.bd_rates import rates_of_files

    if options.by_sequence:
        _by_sequence(options)
        return
    warnings.simplefilter("ignore")  # the remarks are printed with their figures
    warn = partial(print, file=sys.stderr)
    rates = rates_of_files(
        options.anchor, options.test, options.metric, options.method, options.monotone,
        options.resamples, warn,
    )  # fmt: skip
    if not rates:
        raise MeasurementError("no curve has a BD-rate against this anchor")
    try:
        if options.out:
            write_atomically(options.out, [_record(rates)])
    finally:
        print(bd_table_markdown(rates), end="")
        for name, of_curve in rates.items():
            for rate in of_curve:
                for remark in rate.warnings:
                    warn(f"warning: {name}, {rate.metric}: {remark}")


def _by_sequence(options: argparse.Namespace) -> None:
    from vcm_mt.report.bd_rates import report_of_files

    if len(options.test) != 1:
        raise MeasurementError("--by-sequence compares one file with the anchor's")
    found = report_of_files(options.anchor, options.test[0], options.metric)
    print(found.to_markdown(), end="")
    for remark in found.remarks:
        print(f"warning: {remark}", file=sys.stderr)
    if options.out:
        write_atomically(options.out, [json.dumps(found.to_dict(), indent=1).encode() + b"\n"])


def _record(rates: dict[str, list[BDRate]]) -> bytes:
    figures = {name: {r.metric: r.to_dict() for r in of_curve} for name, of_curve in rates.items()}
    return json.dumps(figures, indent=1).encode() + b"\n"
