"""Average the weights of trainings that went on from one start, which often is a better codec.

Examples:
    vcm-mt average work_dirs/a/q3 work_dirs/b/q3 -o work_dirs/mean/q3
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("average", __doc__)
    parser.add_argument("trainings", type=Path, nargs="+", help="folders or checkpoints")
    add.add_out(parser, "folder for the averaged checkpoint")
    return parser


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Average, and print the checkpoint's path."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.out is None:
        add.notice(parser, "OUT TRAINING ...", "TRAINING ... -o OUT")
        options.out, *options.trainings = options.trainings
    from vcm_mt.apis.average import average

    print(average(options.trainings, options.out))
