r"""Encode pictures and videos to .vcm files.

Inputs are pictures, videos, and folders of them. The transmitter is a checkpoint of stage 1, its
training's folder, a file of `vcm-mt export --whole`, or zoo://NAME.

Examples:
    vcm-mt encode street.jpg -o street.vcm --transmitter work_dirs/demo/stage1_det/q2
    vcm-mt encode pictures/ film.mp4 -o coded/ --transmitter CHECKPOINT --quality 3
    vcm-mt encode pictures/ -o coded/ --transmitter CHECKPOINT --refine 8 \
        --refine-config configs/mini/refine_det.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("encode", __doc__)
    parser.add_argument("inputs", nargs="+", type=Path, help="pictures, videos, folders")
    add.add_out(parser, "a .vcm file for one input, else a folder", required=True)
    parser.add_argument(
        "--transmitter", type=Path, required=True, metavar="CHECKPOINT",
        help="checkpoint of stage 1, or its training's folder",
    )  # fmt: skip
    add.add_quality(parser, "one quality, of a transmitter with several; default the middle")
    add.add_refine(parser, "needed with --refine")
    parser.add_argument(
        "--refine-receivers", type=Path, nargs="+", default=[], metavar="FILE",
        help="with --refine, receivers of stage 2 that the tasks look through",
    )  # fmt: skip
    add.add_resume(parser, "skip the streams that are there and are up to date")
    add.add_amp(parser, "auto", "the transform")
    add.add_device(parser)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.quality = add.one_level(parser, options)
    if bool(options.refine) != bool(options.refine_config):
        parser.error("--refine and --refine-config go together")
    if options.refine_receivers and not options.refine:
        parser.error("--refine-receivers needs --refine")
    return options


@command("the same command with --resume goes on")
def main(arguments: Sequence[str] | None = None) -> None:
    """Encode every input."""
    options = _parse(arguments)
    from vcm_mt.apis.encoding import encode_files

    if options.refine:
        from vcm_mt.apis.refined import refining

        transmitter = refining(
            options.refine_config, options.transmitter, options.refine, options.amp,
            receivers=options.refine_receivers, device=options.device,
        )  # fmt: skip
    else:
        from vcm_mt.apis.codec import Transmitter

        transmitter = Transmitter.load(options.transmitter, options.amp, options.device)
    encode_files(transmitter, options.inputs, options.out, options.quality, options.resume)
