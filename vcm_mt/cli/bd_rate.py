"""BD-rate of one curve against another, with what a reader needs to trust it.

python tools/bd_rate.py --anchor work_dirs/rp/rp_points.json:vvc --test work_dirs/rp/rp_points.json
python tools/bd_rate.py --anchor paper:vvc --test paper:trained --metric det_mAP segm_mAP

A file is what tools/rp_curve.py wrote, or a CSV table with `bpp` and scores; `paper` names the
source paper's tables. FILE:CURVE chooses one curve; --test without one takes all of the file.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

from vcm_mt.cli.command import command
from vcm_mt.curves.bd_rate import MIN_POINTS, MONOTONE, BDRate, bd_rate
from vcm_mt.curves.bootstrap import RESAMPLES, Bootstrap
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.rp_file import RPFile, load_points, split_name
from vcm_mt.curves.table import bd_table_markdown
from vcm_mt.errors import MeasurementError
from vcm_mt.files import check_output, write_atomically


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anchor", required=True, help="FILE:CURVE of the reference")
    parser.add_argument("--test", required=True, nargs="+", help="FILE or FILE:CURVE, one or more")
    parser.add_argument("--metric", nargs="+", help="scores; by default all that both curves have")
    parser.add_argument("--method", choices=sorted(MIN_POINTS), default="pchip")
    parser.add_argument(
        "--monotone",
        choices=MONOTONE,
        help="for curves that do not rise: their Pareto front without a warning, or MPEG's fit",
    )
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help="draws of the bootstrap, 0 for none"
    )
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    return parser.parse_args()


def chosen(sources: list[str], anchor: str) -> dict[str, list[RPPoint]]:
    """The curves under test by name; of a whole file all but the anchor itself."""
    found: dict[str, list[RPPoint]] = {}
    for source in sources:
        file, name = split_name(source)
        held = RPFile.load(file)
        for curve in held.curves if name is None else [name]:
            if name is None and (file, curve) == split_name(anchor):
                continue
            key = f"{file}:{curve}" if curve in found else str(curve)
            found[key] = held.points(curve)
    return found


def compare(options: argparse.Namespace) -> dict[str, list[BDRate]]:
    """The figures by curve."""
    anchor = list(load_points(options.anchor))
    rates: dict[str, list[BDRate]] = {}
    for name, points in chosen(options.test, options.anchor).items():
        if not anchor or not points:
            raise MeasurementError(f"{name if anchor else options.anchor} has no points")
        counts = {len(p.pictures.num_bytes) for p in (*anchor, *points) if p.pictures}
        if len(counts) > 1:
            print(
                f"warning: {name} and the anchor were measured on {sorted(counts)} pictures: "
                "there is no interval",
                file=sys.stderr,
            )
        known = options.resamples and len(counts) == 1
        bootstrap = Bootstrap(counts.pop(), options.resamples) if known else None
        shared = set.intersection(*(set(point.metrics) for point in [*anchor, *points]))
        for metric in options.metric or sorted(shared):
            try:
                rate = bd_rate(
                    anchor,
                    points,
                    metric,
                    options.method,
                    monotone=options.monotone,
                    bootstrap=bootstrap,
                )
            except MeasurementError as error:
                if options.metric:
                    raise MeasurementError(f"{name}, {metric}: {error}") from error
                print(f"no BD-rate of {name} in {metric}: {error}", file=sys.stderr)
                continue
            rates.setdefault(name, []).append(rate)
    return rates


@command("start it again")
def main() -> int:
    """Compare and print."""
    options = parse_args()
    warnings.simplefilter("ignore")  # the remarks are printed with their figures
    if options.out:
        check_output(options.out)
    rates = compare(options)
    if not rates:
        raise MeasurementError("no curve has a BD-rate against this anchor")
    try:
        if options.out:
            write_atomically(options.out, [_record(rates)])
    finally:
        print(bd_table_markdown(rates), end="")
        for name, found in rates.items():
            for rate in found:
                for remark in rate.warnings:
                    print(f"warning: {name}, {rate.metric}: {remark}", file=sys.stderr)
    return 0


def _record(rates: dict[str, list[BDRate]]) -> bytes:
    figures = {
        name: {rate.metric: rate.to_dict() for rate in found} for name, found in rates.items()
    }
    return json.dumps(figures, indent=1).encode() + b"\n"
