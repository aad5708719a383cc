"""Make the embedded set: a small COCO-format data set of pictures that need no download.

Examples:
    vcm-mt prepare
    vcm-mt prepare --out data/other --seed 1
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("prepare", __doc__)
    add.add_out(parser, "folder to write to; default data/mini", default=Path("data/mini"))
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another set")
    return parser


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Make the set, unless it is there."""
    options = make_parser().parse_args(arguments)
    from vcm_mt.datasets.mini import prepare

    print(f"{options.out}: fingerprint {prepare(options.out, options.seed)}")
