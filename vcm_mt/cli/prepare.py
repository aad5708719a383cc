"""Make a data set: the embedded one, which needs no download, or the photographs out of COCO.

The embedded set is made of pictures that ship in ordinary packages. The photographs are a few
hundred pictures of COCO 2017 (https://cocodataset.org), picked from a copy on disk.

Examples:
    vcm-mt prepare
    vcm-mt prepare --out data/other --seed 1
    vcm-mt prepare photos --coco data/coco
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("prepare", __doc__)
    parser.add_argument("set", nargs="?", choices=("mini", "photos"), default="mini",
                        help="which set; default mini, the embedded one")  # fmt: skip
    add.add_out(parser, "folder to write to; default data/mini or data/photos")
    parser.add_argument("--seed", type=int, help="mini: another seed gives another set; default 0")
    parser.add_argument("--coco", type=Path, metavar="DIR",
                        help="photos: the folder of COCO 2017; default data/coco")  # fmt: skip
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.set == "mini" and options.coco:
        parser.error("--coco is for the photographs: vcm-mt prepare photos --coco DIR")
    if options.set == "photos" and options.seed is not None:
        parser.error("--seed is for the embedded set: the photographs are always the same")
    return options


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Make the set, unless it is there."""
    options = _parse(arguments)
    out = options.out or Path("data", options.set)
    if options.set == "photos":
        from vcm_mt.datasets.photos import prepare_photos

        fingerprint = prepare_photos(options.coco or Path("data/coco"), out)
    else:
        from vcm_mt.datasets.mini import prepare

        fingerprint = prepare(out, options.seed or 0)
    print(f"{out}: fingerprint {fingerprint}")
