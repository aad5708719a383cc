"""Write one receiver of a checkpoint to a file that holds what decoding needs, and no more.

With --whole, write the whole codec as one small file in half precision: the transmitter with its
receivers. It is a transmitter of its own, so pack first and train receivers on the packed file;
--receiver puts them in.

Examples:
    vcm-mt export work_dirs/demo/stage1_det/q2 -o receiver.safetensors
    vcm-mt export CHECKPOINT --name segm --merge -o segm.safetensors
    vcm-mt export CHECKPOINT --whole -o codec.safetensors
    vcm-mt export CHECKPOINT --whole --quality 3 --receiver human.safetensors -o 3.safetensors
    vcm-mt finetune --task human --stage1 codec.safetensors --work-dir work_dirs/human
    vcm-mt export codec.safetensors --whole --receiver human.safetensors -o codec.safetensors
"""

from __future__ import annotations

import argparse
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
    parser.add_argument("--whole", action="store_true", help="write transmitter and receivers")
    parser.add_argument("--receiver", type=Path, nargs="+", default=[], metavar="FILE",
                        help="with --whole: receivers of stage 2 to put in")  # fmt: skip
    add.add_quality(parser, "with --whole: of a codec for several rates, the one to write")
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.whole and (options.name or options.merge):
        parser.error("--whole writes every receiver: leave --name and --merge out")
    if options.receiver and not options.whole:
        parser.error("--receiver needs --whole")
    options.quality = add.one_level(parser, options)
    if options.quality is not None and not options.whole:
        parser.error("--quality needs --whole")
    return options


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file."""
    options = _parse(arguments)
    if options.whole:
        from vcm_mt.apis.packing import pack

        fingerprint = pack(options.checkpoint, options.out, options.receiver, options.quality)
        size = options.out.stat().st_size
        print(f"{options.out}: {size} bytes, transmitter {fingerprint[:8]}")
        return
    from vcm_mt.apis.codec import Receiver

    receiver = Receiver.load(options.checkpoint, options.name, device="cpu")
    if options.merge:
        receiver.merge()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    receiver.save(options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes")
