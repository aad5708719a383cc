"""Decode .vcm files to PNG.

A sequence of pictures becomes a folder. What decodes is a receiver's file, the receiver inside a
checkpoint, or zoo://NAME.

Examples:
    vcm-mt decode street.vcm -o street.png --receiver receiver.safetensors
    vcm-mt decode coded/ -o decoded/ --transmitter work_dirs/demo/stage1_det/q2
    vcm-mt decode coded/ -o decoded/ --receiver lora.safetensors --base CHECKPOINT
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("decode", __doc__)
    parser.add_argument("inputs", nargs="+", type=Path, help=".vcm files, folders of them")
    add.add_out(parser, "a .png file for one picture, else a folder", required=True)
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
    add.add_resume(parser, "skip the pictures that are there and are up to date")
    add.add_amp(parser, "auto", "the transform")
    add.add_device(parser)
    return parser


@command("the same command with --resume goes on")
def main(arguments: Sequence[str] | None = None) -> None:
    """Decode every input."""
    options = make_parser().parse_args(arguments)
    from vcm_mt.apis.codec import Receiver
    from vcm_mt.apis.decoding import decode_files

    source = options.receiver or options.transmitter
    receiver = Receiver.load(source, options.name, options.amp, options.base, options.device)
    decode_files(receiver, options.inputs, options.out, options.resume)
