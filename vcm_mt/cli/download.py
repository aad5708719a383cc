"""Fetch the published weights that configs name, and verify what is there already.

mmdet's weights go where the config has them, CompressAI's and torchvision's into torch's own cache
($TORCH_HOME). Only what is missing or damaged is fetched. Data are not: COCO 2017 (18 GB of
training pictures, 1 GB to validate) comes from https://cocodataset.org; its annotations are
CC BY 4.0, its pictures under the terms of Flickr.

Examples:
    vcm-mt download configs/stage1_det.py configs/stage1_segm.py
    vcm-mt download --codecs mbt2018-mean:1-6 bmshj2018-hyperprior:3
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vcm_mt.cli.command import Parser, command
from vcm_mt.errors import ConfigError, DataError, told


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("download", __doc__)
    parser.add_argument("configs", nargs="*", help="config files")
    parser.add_argument("--codecs", nargs="+", default=[], metavar="NAME[:LEVELS]",
                        help="codecs of CompressAI's zoo")  # fmt: skip
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not options.configs and not options.codecs:
        parser.error("name a config, or a codec with --codecs")
    return options


def _levels(text: str) -> tuple[str, range | None]:
    """Name and qualities of ``NAME``, ``NAME:3`` or ``NAME:1-6``; ``None`` for all qualities."""
    arch, _, levels = text.partition(":")
    if not levels:
        return arch, None
    first, _, last = levels.partition("-")
    try:
        return arch, range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise ConfigError(f"--codecs takes NAME, NAME:3 or NAME:1-6, not {text}") from error


@command("the same command fetches what is missing")
def main(arguments: Sequence[str] | None = None) -> int:
    """Provide every file; one that cannot be had does not keep the others away."""
    options = _parse(arguments)
    from vcm_mt.training.config import load_config
    from vcm_mt.training.weights import codec_weights, named_weights, provide

    failed = 0
    wanted = [w for path in options.configs for w in named_weights(load_config(path))]
    wanted += [w for codec in options.codecs for w in codec_weights(*_levels(codec))]
    for weights in dict.fromkeys(wanted):
        try:
            provide(weights)
        except DataError as error:
            print(told(error), file=sys.stderr)
            failed += 1
    if not wanted:
        print("these configs name no published weights")
    return 1 if failed else 0
