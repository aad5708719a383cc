"""MOTChallenge's form (https://motchallenge.net) as COCO-VID's, which data sets here read."""

from __future__ import annotations

import configparser
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vcm_mt.errors import DataError
from vcm_mt.files import write_atomically

#: MOT17's class numbers: a pedestrian, and what is neither an object nor a mistake to find.
PEDESTRIAN, IGNORED = 1, (2, 7, 8, 12)


class _Sequence(NamedTuple):
    """What ``seqinfo.ini`` says of a sequence."""

    folder: Path
    pictures: str
    ending: str
    length: int
    width: int
    height: int


def convert_mot(root: Path, out: Path, half: str = "all", only: str = "") -> int:
    """Write COCO-VID annotations of the sequences in a folder, as ``MOT17/train``.

    A sequence is a folder with ``seqinfo.ini``, pictures, and ``gt/gt.txt``: ``frame, id, left,
    top, width, height, flag, class, visibility``, of which the last two may be missing. Frames
    count from 1 there and from 0 here. Objects are pedestrians with a flag other than 0; people on
    vehicles, static people, distractors and reflections are marked as crowds, which are no
    mistakes to find.

    Args:
        root: The folder of sequences.
        out: The file to write. Its pictures' names begin with the sequence's name.
        half: ``"all"``, or the ``"first"`` or ``"second"`` half of each sequence.
        only: Take sequences whose names end so alone, as ``"-FRCNN"`` of MOT17, whose pictures
            are there three times.

    Returns:
        The number of frames.

    Raises:
        DataError: If there is no sequence, or a file is damaged.
    """
    found = sorted(path.parent for path in root.glob("*/seqinfo.ini"))
    folders = [path for path in found if path.name.endswith(only)]
    if not folders:
        raise DataError(f"{root} has no sequence NAME{only}/seqinfo.ini: give its `train` folder")
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, folder in enumerate(folders, start=1):
        one = _sequence(folder)
        size = {"width": one.width, "height": one.height}
        videos.append({"id": number, "name": folder.name, **size})
        middle = one.length // 2
        first, last = {"all": (1, one.length), "first": (1, middle),
                       "second": (middle + 1, one.length)}[half]  # fmt: skip
        places = {}
        for frame in range(first, last + 1):
            places[frame] = len(images)
            name = f"{folder.name}/{one.pictures}/{frame:06d}{one.ending}"
            place = {"id": len(images), "video_id": number, "frame_id": frame - first}
            images.append({**place, "file_name": name, **size})
        for frame, told in _objects(folder / "gt" / "gt.txt"):
            if frame in places:
                own = {"id": len(annotations) + 1, "image_id": places[frame], "video_id": number}
                annotations.append({**own, **told})
    content = {
        "videos": videos,
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "pedestrian"}],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, [json.dumps(content, separators=(",", ":")).encode()])
    return len(images)


def _sequence(folder: Path) -> _Sequence:
    parser = configparser.ConfigParser()
    try:
        parser.read(folder / "seqinfo.ini", encoding="utf-8")
        told = parser["Sequence"]
        return _Sequence(
            folder, told.get("imDir", "img1"), told.get("imExt", ".jpg"),
            *(int(told[name]) for name in ("seqLength", "imWidth", "imHeight")),
        )  # fmt: skip
    except (configparser.Error, KeyError, ValueError) as error:
        raise DataError(f"{folder}/seqinfo.ini is damaged: {error!r}") from error


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Frame and annotation of each object."""
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for number, row in enumerate(filter(None, rows), start=1):
        try:
            frame, track = (int(float(one)) for one in row[:2])
            box = [float(one) for one in row[2:6]]
            flag = float(row[6]) if len(row) > 6 else 1.0
            kind = int(float(row[7])) if len(row) > 7 else PEDESTRIAN
            visible = float(row[8]) if len(row) > 8 else 1.0
            left, top, width, height = box
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not an object of MOTChallenge") from error
        crowd = kind in IGNORED
        if not crowd and (kind != PEDESTRIAN or flag == 0):
            continue
        yield (
            frame,
            {
                "category_id": 1,
                "bbox": [left - 1, top - 1, width, height],  # pixels count from 1 there
                "area": width * height,
                "iscrowd": int(crowd),
                "instance_id": track,
                "visibility": visible,
            },
        )
