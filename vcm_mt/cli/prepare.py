"""Make a data set: the embedded ones, which need no download, or the photographs out of COCO.

The embedded set and the embedded videos are made of pictures that ship in ordinary packages. The
photographs are a few hundred pictures of COCO 2017 (https://cocodataset.org), picked from a copy on
disk. Of sequences in MOTChallenge's form (https://motchallenge.net) annotations are written in
COCO-VID's; the pictures stay where they are. The sets of MPEG's test conditions are checked, and
their annotations written to ROOT/prepared: see docs/mpeg.md.

Examples:
    vcm-mt prepare
    vcm-mt prepare videos
    vcm-mt prepare --out data/other --seed 1
    vcm-mt prepare photos --coco data/coco
    vcm-mt prepare mot --mot data/MOT17/train
    vcm-mt prepare openimages --root data/openimages
    vcm-mt prepare sfu --root data/sfu --matrix bt709
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command

_EMBEDDED = ("mini", "videos")
#: Of MPEG's test conditions; those that may have raw sequences.
_MPEG, _RAW = ("openimages", "flir", "sfu", "tvd", "hieve"), ("sfu", "tvd", "hieve")


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("prepare", __doc__)
    parser.add_argument("set", nargs="?", choices=(*_EMBEDDED, "photos", "mot", *_MPEG),
                        default="mini",
                        help="which set; default mini, the embedded pictures")  # fmt: skip
    add.add_out(parser, "folder to write to; default data/mini, data/mini_videos, data/photos, or "
                "mot: `annotations` beside the sequences")  # fmt: skip
    parser.add_argument(
        "--seed", type=int, help="mini, videos: another seed gives another set; default 0"
    )
    parser.add_argument("--coco", type=Path, metavar="DIR",
                        help="photos: the folder of COCO 2017; default data/coco")  # fmt: skip
    parser.add_argument("--mot", type=Path, metavar="DIR",
                        help="mot: a folder of sequences; default data/MOT17/train")  # fmt: skip
    parser.add_argument("--ending", default="-FRCNN",
                        help="mot: take sequences whose names end so; default -FRCNN, as each "
                        "scene of MOT17 is there three times")  # fmt: skip
    parser.add_argument("--root", type=Path, metavar="DIR",
                        help="openimages, flir, sfu, tvd, hieve: the folder of the data set; "
                        "default data/NAME")  # fmt: skip
    parser.add_argument(
        "--every-frame",
        action="store_true",
        help="sfu: all frames with labels, not those alone that MPEG codes",
    )
    add.add_raw(parser)
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
    if options.set in _MPEG and options.out:
        parser.error("-o: MPEG's sets are prepared inside their folder: give --root DIR")
    if options.set not in _MPEG and options.root:
        parser.error(f"--root is for MPEG's sets: {', '.join(_MPEG)}")
    if options.set != "sfu" and options.every_frame:
        parser.error("--every-frame is for sfu")
    if options.set not in _RAW and any(add.raw_options(options)):
        parser.error(f"options of raw frames are for {', '.join(_RAW)}")
    return options


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Make the set, unless it is there."""
    options = _parse(arguments)
    if options.set == "mot":
        _convert(options)
        return
    if options.set in _MPEG:
        _prepare_mpeg(options)
        return
    out = options.out or Path("data", {"videos": "mini_videos"}.get(options.set, options.set))
    if options.set == "photos":
        from vcm_mt.datasets.photos import prepare_photos

        fingerprint = prepare_photos(options.coco or Path("data/coco"), out)
    elif options.set == "videos":
        from vcm_mt.datasets.mini.video_writer import prepare_videos

        fingerprint = prepare_videos(out, options.seed or 0)
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


def _prepare_mpeg(options: argparse.Namespace) -> None:
    name = options.set
    prepare = getattr(import_module(f"vcm_mt.datasets.mpeg.{name}"), f"prepare_{name}")
    given = {"raw": add.raw_options(options)} if name in _RAW else {}
    if options.every_frame:
        given["every"] = True
    for file, count in prepare(options.root or Path("data", name), **given).items():
        print(f"{file}: {count} pictures")
