r"""Encode pictures and videos to .vcm files.

Inputs are pictures, videos, and folders of them; also raw 4:2:0 sequences, whose format is in the
name (BQMall_832x480_60.yuv, Kimono_1920x1080_24fps_10bit.yuv) or in the options below. The
transmitter is a checkpoint of stage 1, its training's folder, a file of `vcm-mt export --whole`, or
zoo://NAME.

With `-o -` one video is written to standard output, picture by picture: a file, /dev/video0, an
address such as rtsp://host/path, or with `-` raw 4:2:0 frames from standard input.

Examples:
    vcm-mt encode street.jpg -o street.vcm --transmitter work_dirs/demo/stage1_det/q2
    vcm-mt encode pictures/ film.mp4 -o coded/ --transmitter CHECKPOINT --quality 3
    vcm-mt encode pictures/ -o coded/ --transmitter CHECKPOINT --refine 8 \
        --refine-config configs/mini/refine_det.py
    vcm-mt encode rtsp://camera/1 -o - --transmitter CHECKPOINT | vcm-mt decode - -o seen/ \
        --receiver RECEIVER
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("encode", __doc__)
    parser.add_argument("inputs", nargs="+", help="pictures, videos, folders; - for raw frames")
    add.add_out(parser, "a .vcm file for one input, else a folder; - for live", required=True)
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
    parser.add_argument(
        "--key-interval", type=int, default=60, metavar="N",
        help="of videos, at least every N-th picture stands by itself; 1: all of them do",
    )  # fmt: skip
    add.add_raw(parser)
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
    if options.out == Path("-"):
        if len(options.inputs) > 1 or options.resume:
            parser.error("-o - takes one input, and no --resume")
        add.check_piped(parser, sys.stdout)
    elif "-" in options.inputs:
        parser.error("raw frames from standard input are encoded live: give -o -")
    return options


@command("the same command with --resume goes on")
def main(arguments: Sequence[str] | None = None) -> None:
    """Encode every input."""
    options = _parse(arguments)
    if options.refine:
        from vcm_mt.apis.refined import refining

        transmitter = refining(
            options.refine_config, options.transmitter, options.refine, options.amp,
            receivers=options.refine_receivers, device=options.device,
        )  # fmt: skip
    else:
        from vcm_mt.apis.codec import Transmitter

        transmitter = Transmitter.load(options.transmitter, options.amp, options.device)
    if options.out == Path("-"):
        from vcm_mt.apis.live import encode_live, open_source

        video = open_source(options.inputs[0], add.raw_options(options), sys.stdin.buffer)
        encode_live(transmitter, video, sys.stdout.buffer, options.quality, options.key_interval)
        return
    from vcm_mt.apis.encoding import encode_files

    encode_files(
        transmitter, [Path(name) for name in options.inputs], options.out, options.quality,
        options.resume, options.key_interval, add.raw_options(options),
    )  # fmt: skip
