"""Check a training before it starts: data, weights, memory, disk and one step; write nothing.

Of several qualities the last one is rehearsed. `vcm-mt finetune --dry-run` does the same for
a receiver, with that command's options.

Examples:
    vcm-mt dry-run configs/stage1_det.py
    vcm-mt dry-run configs/stage1_det.py --quality 3 --amp bf16
"""

from __future__ import annotations

from collections.abc import Sequence

from vcm_mt.cli import options as add
from vcm_mt.cli import train
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("dry-run", __doc__)
    parser.add_argument("config", help="config file of stage 1 or stage 2")
    add.add_quality(parser, "qualities; the last one is rehearsed; default the config's last")
    add.add_work_dir(parser)
    add.add_pictures(parser)
    add.add_amp(parser, None, "the codec's transforms and the frozen networks")
    add.add_config_options(parser)
    parser.set_defaults(dry_run=True, resume=False, launcher="none")
    return parser


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse, and print what was seen."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    add.check_pictures(parser, options)
    return train.run(options)
