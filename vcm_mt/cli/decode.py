"""Decode .vcm files to PNG.

A sequence of pictures becomes a folder. What decodes is a receiver's file, the receiver inside a
checkpoint, or zoo://NAME. With `-` a sequence is read from standard input and decoded as it
arrives; with `-o -` its pictures are written to standard output, raw RGB of 8 bits.

Examples:
    vcm-mt decode street.vcm -o street.png --receiver receiver.safetensors
    vcm-mt decode coded/ -o decoded/ --transmitter work_dirs/demo/stage1_det/q2
    vcm-mt decode coded/ -o decoded/ --receiver lora.safetensors --base CHECKPOINT
    vcm-mt decode - -o seen/ --receiver RECEIVER < film.vcm
    vcm-mt decode film.vcm -o film/ --receiver RECEIVER --prior CHECKPOINT
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
    parser = Parser("decode", __doc__)
    parser.add_argument("inputs", nargs="+", type=Path, help=".vcm files, folders; - for live")
    add.add_out(parser, "a .png file for one picture, else a folder; - for raw", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--receiver", type=Path, metavar="FILE", help="file of one receiver (.safetensors)"
    )
    source.add_argument(
        "--transmitter", type=Path, metavar="CHECKPOINT",
        help="checkpoint with its receivers, or its training's folder",
    )  # fmt: skip
    parser.add_argument("--name", help="which of a checkpoint's receivers")
    parser.add_argument("--base", type=Path, help="what a LoRA receiver's file was trained on")
    parser.add_argument("--prior", type=Path, metavar="CHECKPOINT",
                        help="temporal prior that was trained after the receiver")  # fmt: skip
    add.add_resume(parser, "skip the pictures that are there and are up to date")
    add.add_amp(parser, "auto", "the transform")
    add.add_device(parser)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    stream, raw = Path("-") in options.inputs, options.out == Path("-")
    if stream and (len(options.inputs) > 1 or options.resume):
        parser.error("standard input is decoded alone, and without --resume")
    if raw and not stream:
        parser.error("-o - decodes what comes from standard input: vcm-mt decode - -o - < FILE")
    if raw:
        add.check_piped(parser, sys.stdout)
    return options


@command("the same command with --resume goes on")
def main(arguments: Sequence[str] | None = None) -> None:
    """Decode every input."""
    options = _parse(arguments)
    from vcm_mt.apis.codec import Receiver

    source = options.receiver or options.transmitter
    receiver = Receiver.load(source, options.name, options.amp, options.base, options.device)
    if options.prior:
        receiver.take_prior(options.prior)
    if options.inputs == [Path("-")]:
        from vcm_mt.apis.live import decode_live

        out = sys.stdout.buffer if options.out == Path("-") else options.out
        decode_live(receiver, sys.stdin.buffer, out)
        return
    from vcm_mt.apis.decoding import decode_files

    decode_files(receiver, options.inputs, options.out, options.resume)
