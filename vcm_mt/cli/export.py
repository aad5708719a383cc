"""Write one receiver of a checkpoint to a file that holds what decoding needs, and no more.

Examples:
    vcm-mt export work_dirs/demo/stage1_det/q2 -o receiver.safetensors
    vcm-mt export CHECKPOINT --name segm --merge -o segm.safetensors
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("export", __doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint, or its training's folder")
    add.add_out(parser, "file to write (.safetensors)", required=True)
    parser.add_argument("--name", help="which of the checkpoint's receivers")
    parser.add_argument("--merge", action="store_true", help="write a LoRA receiver as a full one")
    return parser


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file."""
    options = make_parser().parse_args(arguments)
    from vcm_mt.apis.codec import Receiver

    receiver = Receiver.load(options.checkpoint, options.name, device="cpu")
    if options.merge:
        receiver.merge()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    receiver.save(options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes")
