"""Make a data set: the embedded ones, which need no download, or the photographs out of COCO.

The embedded set, videos and figures are made of pictures that ship in ordinary packages. The
photographs are a few hundred pictures of COCO 2017 (https://cocodataset.org), picked from a copy on
disk. Of sequences in MOTChallenge's form (https://motchallenge.net) annotations are written in
COCO-VID's; the pictures stay where they are.

Examples:
    vcm-mt prepare
    vcm-mt prepare videos
    vcm-mt prepare figures
    vcm-mt prepare --out data/other --seed 1
    vcm-mt prepare photos --coco data/coco
    vcm-mt prepare mot --mot data/MOT17/train
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command

_EMBEDDED = ("mini", "videos", "figures")


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("prepare", __doc__)
    parser.add_argument("set", nargs="?", choices=(*_EMBEDDED, "photos", "mot"), default="mini",
                        help="which set; default mini, the embedded pictures")  # fmt: skip
    add.add_out(parser, "folder to write to; default data/mini, data/mini_videos, "
                "data/mini_figures, data/photos, or mot: `annotations` beside the "
                "sequences")  # fmt: skip
    parser.add_argument(
        "--seed", type=int, help="embedded sets: another seed gives another set; default 0"
    )
    parser.add_argument("--coco", type=Path, metavar="DIR",
                        help="photos: the folder of COCO 2017; default data/coco")  # fmt: skip
    parser.add_argument("--mot", type=Path, metavar="DIR",
                        help="mot: a folder of sequences; default data/MOT17/train")  # fmt: skip
    parser.add_argument("--ending", default="-FRCNN",
                        help="mot: take sequences whose names end so; default -FRCNN, as each "
                        "scene of MOT17 is there three times")  # fmt: skip
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.set != "photos" and options.coco:
        parser.error("--coco is for the photographs: vcm-mt prepare photos --coco DIR")
    if options.set != "mot" and options.mot:
        parser.error("--mot is for MOTChallenge's form: vcm-mt prepare mot --mot DIR")
    if options.set not in _EMBEDDED and options.seed is not None:
        parser.error("--seed is for the embedded sets: other pictures are always the same")
    return options


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Make the set, unless it is there."""
    options = _parse(arguments)
    if options.set == "mot":
        _convert(options)
        return
    own = {"videos": "mini_videos", "figures": "mini_figures"}
    out = options.out or Path("data", own.get(options.set, options.set))
    if options.set == "photos":
        from vcm_mt.datasets.photos import prepare_photos

        fingerprint = prepare_photos(options.coco or Path("data/coco"), out)
    elif options.set == "videos":
        from vcm_mt.datasets.mini.video_writer import prepare_videos

        fingerprint = prepare_videos(out, options.seed or 0)
    elif options.set == "figures":
        from vcm_mt.datasets.mini.figure_writer import prepare_figures

        fingerprint = prepare_figures(out, options.seed or 0)
    else:
        from vcm_mt.datasets.mini import prepare

        fingerprint = prepare(out, options.seed or 0)
    print(f"{out}: fingerprint {fingerprint}")


def _convert(options: argparse.Namespace) -> None:
    from vcm_mt.datasets.mot import convert_mot

    root = options.mot or Path("data/MOT17/train")
    folder = options.out or root.parent / "annotations"
    for half, name in (("first", "first_half"), ("second", "second_half"), ("all", "all")):
        file = folder / f"{name}.json"
        print(f"{file}: {convert_mot(root, file, half, options.ending)} frames")
