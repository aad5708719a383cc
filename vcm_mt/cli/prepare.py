"""Make a data set: the embedded ones, which need no download, or the photographs out of COCO.

The embedded pictures, videos, figures and motions are made of photographs that ship in ordinary
packages. The photographs are a few hundred pictures of COCO 2017 (https://cocodataset.org), picked
from a copy on disk. Of sequences in MOTChallenge's form (https://motchallenge.net) annotations are
written in COCO-VID's; the pictures stay where they are. Clips with an action each, in Kinetics'
form, are taken apart into frames. Of videos that are labelled person by person, in AVA's form
(https://research.google.com/ava), annotations are written beside the table. The sets of MPEG's test
conditions are checked, and their annotations written to ROOT/prepared: see docs/mpeg.md.

Examples:
    vcm-mt prepare
    vcm-mt prepare videos
    vcm-mt prepare figures
    vcm-mt prepare motions
    vcm-mt prepare --out data/other --seed 1
    vcm-mt prepare photos --coco data/coco
    vcm-mt prepare mot --mot data/MOT17/train
    vcm-mt prepare clips --clips data/kinetics400/videos_val --out data/kinetics400/val \
        --list data/kinetics400/kinetics400_val_list_videos.txt
    vcm-mt prepare ava --clips data/ava/rawframes --list data/ava/annotations/ava_val_v2.1.csv \
        --exclude data/ava/annotations/ava_val_excluded_timestamps_v2.1.csv --frames 4
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

#: Embedded sets: the module that writes each, and its function.
_EMBEDDED = {
    "mini": ("writer", "prepare"),
    "videos": ("video_writer", "prepare_videos"),
    "figures": ("figure_writer", "prepare_figures"),
    "motions": ("motion_writer", "prepare_motions"),
}
#: Sets that are made of others' pictures.
_OTHERS = ("photos", "mot", "clips", "ava")
#: Of MPEG's test conditions; those that may have raw sequences.
_MPEG, _RAW = ("openimages", "flir", "sfu", "tvd", "hieve"), ("sfu", "tvd", "hieve")


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("prepare", __doc__)
    parser.add_argument("set", nargs="?", choices=(*_EMBEDDED, *_OTHERS, *_MPEG), default="mini",
                        help="which set; default mini, the embedded pictures")  # fmt: skip
    add.add_out(parser, "folder to write to; default data/mini, data/mini_videos and so on, "
                "data/photos, or mot: `annotations` beside the sequences; ava: a file, default "
                "beside the table")  # fmt: skip
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
    _add_clips(parser)
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


def _add_clips(parser: Parser) -> None:
    parser.add_argument("--clips", type=Path, metavar="DIR",
                        help="clips: the folder of the videos; ava: of a folder of frames for "
                        "each, img_00001.jpg and so on at 30 a second")  # fmt: skip
    parser.add_argument("--list", type=Path, metavar="FILE", dest="listing",
                        help="clips: a line for each video, its name and its action's number "
                        "from 0, as mmaction2 has them; ava: the table (.csv)")  # fmt: skip
    parser.add_argument("--actions", type=Path, metavar="FILE",
                        help="clips: the actions' names, a line each; default numbers; ava: the "
                        "list of the actions that count (.pbtxt); default all 80")  # fmt: skip
    parser.add_argument("--exclude", type=Path, metavar="FILE",
                        help="ava: a table of key frames to leave out")  # fmt: skip
    parser.add_argument("--frames", type=int, default=0, metavar="N",
                        help="clips: at most so many frames of each; ava: so many key frames of "
                        "each video; default all")  # fmt: skip


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.set != "photos" and options.coco:
        parser.error("--coco is for the photographs: vcm-mt prepare photos --coco DIR")
    if options.set != "mot" and options.mot:
        parser.error("--mot is for MOTChallenge's form: vcm-mt prepare mot --mot DIR")
    if options.set == "clips" and not (options.clips and options.listing and options.out):
        parser.error("clips need --clips DIR, --list FILE and --out DIR")
    if options.set == "ava" and not (options.clips and options.listing):
        parser.error("ava needs --clips DIR and --list FILE")
    if options.set not in ("clips", "ava") and (options.clips or options.listing):
        parser.error("--clips and --list are for clips and ava: vcm-mt prepare clips --clips DIR")
    if options.set != "ava" and options.exclude:
        parser.error("--exclude is for ava")
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
    if options.set == "clips":
        _take_apart(options)
        return
    if options.set == "ava":
        _convert_ava(options)
        return
    if options.set in _MPEG:
        _prepare_mpeg(options)
        return
    if options.set == "photos":
        from vcm_mt.datasets.photos import prepare_photos

        out = options.out or Path("data/photos")
        fingerprint = prepare_photos(options.coco or Path("data/coco"), out)
    else:
        module, function = _EMBEDDED[options.set]
        name = "mini" if options.set == "mini" else f"mini_{options.set}"
        out = options.out or Path("data", name)
        prepare = getattr(import_module(f"vcm_mt.datasets.mini.{module}"), function)
        fingerprint = prepare(out, options.seed or 0)
    print(f"{out}: fingerprint {fingerprint}")


def _convert(options: argparse.Namespace) -> None:
    from vcm_mt.datasets.mot import convert_mot

    root = options.mot or Path("data/MOT17/train")
    folder = options.out or root.parent / "annotations"
    for half, name in (("first", "first_half"), ("second", "second_half"), ("all", "all")):
        file = folder / f"{name}.json"
        print(f"{file}: {convert_mot(root, file, half, options.ending)} frames")


def _take_apart(options: argparse.Namespace) -> None:
    from vcm_mt.datasets.kinetics import convert_kinetics

    names = options.actions.read_text().splitlines() if options.actions else []
    given = (options.listing, options.clips, options.out, names, options.frames)
    print(f"{options.out}: {convert_kinetics(*given)} frames")


def _convert_ava(options: argparse.Namespace) -> None:
    from vcm_mt.datasets.ava import convert_ava

    out = options.out or options.listing.with_suffix(".json")
    given = (options.listing, options.clips, out, options.actions, options.exclude, options.frames)
    print(f"{out}: {convert_ava(*given)} frames")


def _prepare_mpeg(options: argparse.Namespace) -> None:
    name = options.set
    prepare = getattr(import_module(f"vcm_mt.datasets.mpeg.{name}"), f"prepare_{name}")
    given = {"raw": add.raw_options(options)} if name in _RAW else {}
    if options.every_frame:
        given["every"] = True
    for file, count in prepare(options.root or Path("data", name), **given).items():
        print(f"{file}: {count} pictures")
