"""SFU-HW-Objects-v1: boxes on the raw sequences of the common test conditions."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from vcm_mt.apis.raw import RawOptions
from vcm_mt.datasets.mpeg.classes import COCO, categories, known_name
from vcm_mt.datasets.mpeg.frames import Videos, extract, frame_name
from vcm_mt.datasets.mpeg.reading import (
    PREPARED,
    check_pictures,
    check_there,
    entries_of,
    field_of,
    json_of,
    lines_of,
    number_of,
    picture_size,
    whole,
    write_coco,
)
from vcm_mt.datasets.mpeg.sequences import SFU, sfu_name
from vcm_mt.errors import DataError

_TOLD = re.compile(r"^(?P<name>[A-Za-z]+)_(?P<width>\d+)x(?P<height>\d+)_(?P<fps>\d+)")
_TXT = re.compile(r"_(\d{3,})\.txt$")
#: How far a box may reach over the picture's border, relative to its size: labels are rounded.
_OVER = 0.01
Boxes = list[dict[str, Any]]


class _Found(NamedTuple):
    """A sequence on disk: its raw file or folder of frames, and what reads its boxes."""

    name: str
    size: tuple[int, int]
    fps: int
    group: str
    source: Path
    annotations: Path


def prepare_sfu(
    root: Path,
    raw: RawOptions = RawOptions(),  # noqa: B008
    every: bool = False,
) -> dict[Path, int]:
    """Write ``prepared/sfu.json`` in COCO-VID's form, and raw sequences' frames as PNG files.

    A sequence is ``ClassB/BQTerrace_1920x1080_60*.yuv`` with ``ClassB/Annotations/BQTerrace/``
    ``*_NNN.txt``, a file a frame from 0 on, whose lines are ``class x y width height``: COCO's
    class from 0, and the box's centre and size relative to the picture's. Or it is a folder
    ``BQTerrace_1920x1080_60*/`` with ``annotations/*.json`` in COCO's form, whose ids may be
    floats, and its frames in ``images/`` or a ``.yuv``.

    Args:
        root: The folder.
        raw: What the raw files' names do not say.
        every: Take all frames that have a text file; by default, of a sequence of MPEG's
            conditions, those that are coded.

    Returns:
        The number of frames by file.

    Raises:
        DataError: When files are missing, damaged or of another form.
    """
    found = [*_raw_sequences(root), *_json_sequences(root)]
    if not found:
        raise DataError(
            f"{root} has neither Class*/NAME_WxH_FPS*.yuv nor folders NAME_WxH_FPS*/annotations: "
            "docs/mpeg.md says where they are"
        )
    texts = {one.name: _texts(one, every) for one in found if one.annotations.is_dir()}
    videos = Videos()
    for one in sorted(found, key=lambda one: (one.group, one.name)):
        if one.name in texts:
            _add_texts(videos, one, texts[one.name], root, raw)
        else:
            _add_json(videos, one, root, raw)
    target = root / PREPARED / "sfu.json"
    write_coco(target, {**videos.content, "categories": categories(COCO)})
    return {target: len(videos.content["images"])}


def _told(path: Path, group: str = "") -> tuple[str, tuple[int, int], int, str]:
    """Name, size, rate and class of a sequence, by its file's or folder's name."""
    match = _TOLD.match(path.name)
    if not match:
        raise DataError(f"{path}: a sequence is called NAME_WIDTHxHEIGHT_FPS")
    size = int(match["width"]), int(match["height"])
    name = sfu_name(match["name"], size[0])
    known = SFU.get(name)
    return name, size, int(match["fps"]), known.group if known else group or "other"


def _raw_sequences(root: Path) -> list[_Found]:
    files = sorted(root.glob("Class*/*.yuv"))
    found = []
    for path in files:
        told = _told(path, path.parent.name.removeprefix("Class"))
        plain = path.name.split("_")[0]
        found.append(_Found(*told, path, path.parent / "Annotations" / plain))
    check_there([one.annotations for one in found], str(root))
    labelled = {one.annotations for one in found}
    bare = [path for path in sorted(root.glob("Class*/Annotations/*/")) if path not in labelled]
    check_there([p.parent.parent / f"{p.name}_WxH_FPS.yuv" for p in bare], str(root))
    return found


def _json_sequences(root: Path) -> list[_Found]:
    found = []
    for path in sorted(root.glob("*/annotations/*.json")):
        folder = path.parent.parent
        raws = [*sorted(folder.glob("*.yuv")), folder / "images"]
        source = folder / "images" if (folder / "images").is_dir() else raws[0]
        found.append(_Found(*_told(folder), source, path))
    return found


def _fields(one: _Found) -> dict[str, Any]:
    """What MPEG's conditions say of a sequence, for its entry among the videos."""
    known = SFU.get(one.name)
    told: dict[str, Any] = {"group": one.group, "fps": one.fps}
    if known:
        if known[1:4] != (*one.size, one.fps):
            raise DataError(
                f"{one.source}: {one.name} has {known.width}x{known.height} pixels and "
                f"{known.fps} frames per second, not {one.size[0]}x{one.size[1]} and {one.fps}"
            )
        told |= {"intra_period": known.intra_period, "qps": known.qps}
    return told


def _texts(one: _Found, every: bool) -> dict[int, Path]:
    """Files of boxes by the frame's number, all of those that are wanted."""
    there = {int(m[1]): p for p in one.annotations.iterdir() if (m := _TXT.search(p.name))}
    known = SFU.get(one.name)
    frames = range(known.skip, known.skip + known.frames) if known and not every else sorted(there)
    prefix = next(iter(there.values())).name.rpartition("_")[0] if there else one.name
    wanted = {n: there.get(n, one.annotations / f"{prefix}_{n:03d}.txt") for n in frames}
    check_there(wanted.values() or [one.annotations / f"{one.name}_000.txt"], one.name)
    if list(wanted) != list(range(min(wanted), min(wanted) + len(wanted))):
        gaps = sorted(set(range(min(wanted), max(wanted))) - set(wanted))
        check_there([one.annotations / f"{prefix}_{n:03d}.txt" for n in gaps], one.name)
    return wanted


def _add_texts(
    videos: Videos, one: _Found, texts: dict[int, Path], root: Path, raw: RawOptions
) -> None:
    boxes = {number: _boxes(path, one.size) for number, path in texts.items()}
    folder = Path(PREPARED, "frames", one.name)
    extract(one.source, root / folder, min(boxes), len(boxes), one.size, raw)
    videos.add_video(one.name, one.size, **_fields(one))
    for number, objects in boxes.items():
        videos.add_frame(str(folder / frame_name(number)), objects)


def _boxes(path: Path, size: tuple[int, int]) -> Boxes:
    found = []
    for place, (label, x, y, wide, tall) in lines_of(path, None, 5):
        if not label.is_integer() or not 0 <= label < len(COCO):
            raise DataError(
                f"{place}: unknown class {label:g}: classes are COCO's, 0 to {len(COCO) - 1}"
            )
        inside = (x - wide / 2, y - tall / 2, 1 - x - wide / 2, 1 - y - tall / 2, wide, tall)
        if min(inside) < -_OVER:
            raise DataError(f"{place}: the box does not lie in the picture: centre and size are "
                            "relative to it")  # fmt: skip
        width, height = wide * size[0], tall * size[1]
        box = [x * size[0] - width / 2, y * size[1] - height / 2, width, height]
        found.append(_object(int(label) + 1, box))
    return found


def _object(category: int, box: list[float]) -> dict[str, Any]:
    return {"category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


def _add_json(videos: Videos, one: _Found, root: Path, raw: RawOptions) -> None:
    path = one.annotations
    content = json_of(path)
    names = {
        whole(field_of(entry, "id", path), path, "the id of a category"): known_name(
            field_of(entry, "name", path), COCO, path
        )
        for entry in entries_of(content, "categories", path)
    }
    objects: defaultdict[int, Boxes] = defaultdict(list)
    for entry in entries_of(content, "annotations", path):
        number = whole(field_of(entry, "image_id", path), path, "an image_id")
        objects[number].append(_json_object(entry, names, path))
    frames = {
        whole(field_of(entry, "id", path), path, "the id of a picture"): entry
        for entry in entries_of(content, "images", path)
    }
    if unknown := sorted(set(objects) - set(frames)):
        raise DataError(f"{path}: annotations of the pictures {unknown}, which images lacks")
    files = _json_frames(one, [frames[number] for number in sorted(frames)], root, raw)
    videos.add_video(one.name, one.size, **_fields(one))
    for number, file in zip(sorted(frames), files, strict=True):
        videos.add_frame(file, objects[number])


def _json_object(entry: dict[str, Any], names: dict[int, str], path: Path) -> dict[str, Any]:
    label = whole(field_of(entry, "category_id", path), path, "a category_id")
    if label not in names:
        raise DataError(f"{path}: unknown class {label}: categories have {sorted(names)}")
    box = [number_of(value, path, "bbox") for value in field_of(entry, "bbox", path)]
    if len(box) != 4:
        raise DataError(f"{path}: bbox has {len(box)} numbers, not x, y, width and height")
    return _object(COCO.index(names[label]) + 1, box)


def _json_frames(
    one: _Found, entries: list[dict[str, Any]], root: Path, raw: RawOptions
) -> list[str]:
    """The frames' files, relative to ``root``, in the order of their ids."""
    if one.source.suffix == ".yuv":
        known = SFU.get(one.name)
        first = known.skip if known and known.frames == len(entries) else 0
        folder = Path(PREPARED, "frames", one.name)
        extract(one.source, root / folder, first, len(entries), one.size, raw)
        return [str(folder / frame_name(first + n)) for n in range(len(entries))]
    names = [Path(field_of(entry, "file_name", one.annotations)).name for entry in entries]
    check_pictures(one.source, names, one.name)
    for entry, name in zip(entries, names, strict=True):
        told = tuple(
            whole(entry.get(side, own), one.annotations, f"the {side} of {name}")
            for side, own in zip(("width", "height"), one.size, strict=True)
        )
        if told != one.size:
            raise DataError(f"{one.annotations}: {name} is {told[0]}x{told[1]}, and the sequence "
                            f"{one.size[0]}x{one.size[1]}")  # fmt: skip
        picture_size(one.source / name, one.size)
    return [str(one.source.relative_to(root) / name) for name in names]
