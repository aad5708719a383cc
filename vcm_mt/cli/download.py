"""Fetch the published weights that configs name, and verify what is there already.

python tools/download.py configs/stage1_det.py configs/stage1_segm.py
python tools/download.py --codecs mbt2018-mean:1-6 bmshj2018-hyperprior:3

mmdet's weights go where the config has them, CompressAI's and torchvision's into torch's own cache
($TORCH_HOME). Only what is missing or damaged is fetched. Data are not: COCO 2017 (18 GB of
training pictures, 1 GB to validate) comes from https://cocodataset.org; its annotations are
CC BY 4.0, its pictures under the terms of Flickr.
"""

from __future__ import annotations

import argparse
import sys

from vcm_mt.cli.command import command
from vcm_mt.errors import ConfigError, DataError, told
from vcm_mt.training.config import load_config
from vcm_mt.training.weights import Weights, codec_weights, named_weights


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="*", help="config files")
    parser.add_argument(
        "--codecs",
        nargs="+",
        default=[],
        metavar="NAME[:LEVELS]",
        help="codecs of CompressAI's zoo",
    )
    options = parser.parse_args()
    if not options.configs and not options.codecs:
        parser.error("name a config, or a codec with --codecs")
    return options


def parse_codec(text: str) -> list[Weights]:
    """The weights that ``mbt2018-mean``, ``mbt2018-mean:3`` or ``mbt2018-mean:1-6`` stands for."""
    arch, _, levels = text.partition(":")
    if not levels:
        return codec_weights(arch)
    first, _, last = levels.partition("-")
    try:
        wanted = range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise ConfigError(f"--codecs takes NAME, NAME:3 or NAME:1-6, not {text}") from error
    return codec_weights(arch, wanted)


def provide(weights: Weights) -> None:
    """Fetch a file unless it is there, and say what it is.

    Raises:
        DataError: When it could not be had.
    """
    try:
        here = weights.is_here()
    except DataError as error:
        print(told(error))
        here = False
    if not here:
        size = weights.size()
        told_size = f"{size / 1e6:.1f} MB" if size is not None else "size unknown"
        print(f"{weights.url}: {told_size}, {weights.licence}", flush=True)
        weights.fetch()
    digest = f"SHA-256 {weights.digest}... verified" if weights.digest else "no digest published"
    print(f"{weights.path}: here, {digest}, {weights.licence}")


@command("the same command fetches what is missing")
def main() -> int:
    """Provide every file; one that cannot be had does not keep the others away."""
    options = parse_args()
    failed = 0
    wanted = [w for path in options.configs for w in named_weights(load_config(path))]
    wanted += [w for codec in options.codecs for w in parse_codec(codec)]
    for weights in dict.fromkeys(wanted):
        try:
            provide(weights)
        except DataError as error:
            print(told(error), file=sys.stderr)
            failed += 1
    if not wanted:
        print("these configs name no published weights")
    return 1 if failed else 0
