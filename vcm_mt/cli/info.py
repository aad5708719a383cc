"""Show what .vcm files hold: kind, size, quality, transmitter and rate.

Examples:
    vcm-mt info street.vcm coded/*.vcm
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("info", __doc__)
    parser.add_argument("inputs", nargs="+", type=Path, help=".vcm files")
    return parser


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each file holds."""
    options = make_parser().parse_args(arguments)
    from vcm_mt.apis.contents import print_contents

    print_contents(options.inputs)
