"""MPEG's part of OpenImages v6: 5,000 pictures with boxes, masks and verified labels."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from vcm_mt.datasets.mpeg.classes import COCO, OPENIMAGES, categories, known_name
from vcm_mt.datasets.mpeg.reading import (
    PREPARED,
    check_pictures,
    check_there,
    entries_of,
    field_of,
    json_of,
    number_of,
    numbered,
    picture_size,
    rows_of,
    whole,
    write_coco,
)
from vcm_mt.errors import DataError
from vcm_mt.files import UNREADABLE

KINDS = ("detection", "segmentation")
_BOXES = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")
_LABELS = ("ImageID", "LabelName", "Confidence")
_MASKS = (
    *("ImageID", "LabelName", "ImageWidth", "ImageHeight", "XMin", "YMin", "XMax", "YMax"),
    *("IsGroupOf", "Mask", "MaskPath"),
)
_NUMBERS = {name: number for number, name in enumerate(COCO, start=1)}


class _Object(NamedTuple):
    """One box: relative corners left, top, right, bottom; a mask as written, if there is one."""

    name: str
    box: tuple[float, float, float, float]
    group: bool
    place: str
    mask: str = ""
    size: tuple[int, int] | None = None


class _Picture(NamedTuple):
    """A picture's file, the classes that were verified on it, and its objects."""

    file: str
    verified: set[str]
    objects: list[_Object]


def prepare_openimages(root: Path) -> dict[Path, int]:
    """Write ``prepared/detection.json`` and ``prepared/segmentation.json`` in COCO's form.

    The folder has ``images/`` and, for either task, MPEG's tables
    ``detection_validation_5k_bbox.csv`` and ``detection_validation_labels_5k.csv``, or
    ``segmentation_validation_bbox_5k.csv``, ``..._labels_5k.csv`` and ``..._masks_5k.csv``; or the
    file ``annotations/mpeg-oiv6-TASK-coco.json``. Categories are COCO's 80. A picture has
    ``verified``, the numbers of the categories that were looked for on it; an object ``group_of``,
    1 for a box around many.

    Args:
        root: The folder.

    Returns:
        The number of pictures by file.

    Raises:
        DataError: When files are missing, damaged or of another form.
    """
    found = {kind: _source(root, kind) for kind in KINDS}
    if not any(found.values()):
        check_there([*_tables(root, "detection"), _coco(root, "detection")], str(root))
    written = {}
    for kind, source in found.items():
        if source:
            pictures = source(root, kind)
            check_pictures(root / "images", [one.file for one in pictures], f"{kind} in {root}")
            path = root / PREPARED / f"{kind}.json"
            write_coco(path, _content(pictures, root))
            written[path] = len(pictures)
    return written


def _tables(root: Path, kind: str) -> list[Path]:
    names = {"detection": ("validation_5k_bbox", "validation_labels_5k"),
             "segmentation": ("validation_bbox_5k", "validation_labels_5k",
                              "validation_masks_5k")}[kind]  # fmt: skip
    return [root / f"{kind}_{name}.csv" for name in names]


def _coco(root: Path, kind: str) -> Path:
    return root / "annotations" / f"mpeg-oiv6-{kind}-coco.json"


def _source(root: Path, kind: str) -> Any:
    """What reads a task's annotations, or ``None`` where there are none."""
    tables = _tables(root, kind)
    if any(path.exists() for path in tables):
        check_there(tables, f"{kind} in {root}")
        return _from_tables
    return _from_coco if _coco(root, kind).exists() else None


def _from_tables(root: Path, kind: str) -> list[_Picture]:
    boxes, labels, *masks = _tables(root, kind)
    verified: defaultdict[str, set[str]] = defaultdict(set)
    for place, row in rows_of(labels, _LABELS):
        number_of(row["Confidence"], place, "Confidence")  # 0, which is verified too, or 1
        verified[row["ImageID"]].add(known_name(row["LabelName"], OPENIMAGES, place))
    objects: defaultdict[str, list[_Object]] = defaultdict(list)
    for place, row in rows_of(boxes, _BOXES):
        objects[row["ImageID"]].append(_object(row, place))
    for path in masks:  # repeats the boxes of the objects that have a mask
        for place, row in rows_of(path, _MASKS):
            _give_mask(objects[row["ImageID"]], _object(row, place))
    names = dict.fromkeys([*verified, *objects])
    return [_Picture(_file(root, name), verified[name], objects[name]) for name in names]


def _give_mask(objects: list[_Object], masked: _Object) -> None:
    """Put an object with a mask in the place of the box without one that it has."""
    for place, one in enumerate(objects):
        same = (one.name, one.group, one.mask) == (masked.name, masked.group, "")
        if same and max(abs(a - b) for a, b in zip(one.box, masked.box, strict=True)) < 1e-5:
            objects[place] = masked
            return
    objects.append(masked)


def _object(row: dict[str, str], place: str) -> _Object:
    corners = (number_of(row[n], place, n) for n in ("XMin", "YMin", "XMax", "YMax"))
    size = None
    if "Mask" in row:
        size = (
            whole(row["ImageWidth"], place, "ImageWidth"),
            whole(row["ImageHeight"], place, "ImageHeight"),
        )
    mask = row.get("Mask", "")
    if mask in ("", "nan") and row.get("MaskPath", "") not in ("", "nan"):
        mask = f"masks/{row['MaskPath']}"
    group = whole(row["IsGroupOf"], place, "IsGroupOf")
    name = known_name(row["LabelName"], OPENIMAGES, place)
    return _Object(name, _box(corners, place), bool(group), place, mask, size)


def _box(corners: Any, place: str) -> tuple[float, float, float, float]:
    left, top, right, bottom = corners
    if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
        raise DataError(
            f"{place}: a box {left:g}, {top:g}, {right:g}, {bottom:g} does not lie in the picture: "
            "corners are relative to its size, from 0 to 1"
        )
    return left, top, right, bottom


def _file(root: Path, name: str) -> str:
    return f"{name}.png" if (root / "images" / f"{name}.png").is_file() else f"{name}.jpg"


def _from_coco(root: Path, kind: str) -> list[_Picture]:
    path = _coco(root, kind)
    content = json_of(path)
    names = {
        whole(field_of(one, "id", path), path, "the id of a label"): known_name(
            field_of(one, "name", path), OPENIMAGES, path
        )
        for one in entries_of(content, "oic_labelmap", path)
    }
    files = {
        field_of(one, "id", path): Path(field_of(one, "file_name", path)).name
        for one in entries_of(content, "images", path)
    }
    found = []
    for one in entries_of(content, "oic_annotations", path):
        number = field_of(one, "image_id", path)
        if number not in files:
            raise DataError(f"{path}: oic_annotations has picture {number!r}, and images has not")
        own = field_of(one, "annotations", path)
        verified = {known_name(name, OPENIMAGES, path) for name in field_of(own, "img_cls", path)}
        place = f"{path}, picture {number!r}"
        found.append(_Picture(files[number], verified, list(_objects(own, names, place))))
    return found


def _objects(own: dict[str, Any], names: dict[int, str], place: str) -> Iterator[_Object]:
    boxes, labels, groups = (field_of(own, name, place) for name in ("bbox", "cls", "group_of"))
    masks = own.get("mask") or [""] * len(boxes)
    sizes = own.get("img_size") or [None] * len(boxes)
    if len({len(one) for one in (boxes, labels, groups, masks, sizes)}) != 1:
        raise DataError(f"{place}: bbox, cls, group_of, mask and img_size differ in length")
    for box, label, group, mask, size in zip(boxes, labels, groups, masks, sizes, strict=True):
        number = whole(label, place, "cls")
        if number not in names:
            raise DataError(f"{place}: unknown class {number}: oic_labelmap has {sorted(names)}")
        top, left, bottom, right = (number_of(value, place, "bbox") for value in box)
        told = None
        if size is not None:
            told = (
                whole(field_of(size, "img_width", place), place, "img_width"),
                whole(field_of(size, "img_height", place), place, "img_height"),
            )
        corners = _box((left, top, right, bottom), place)
        yield _Object(names[number], corners, bool(group), place, str(mask), told)


def _content(pictures: list[_Picture], root: Path) -> dict[str, Any]:
    images, annotations = [], []
    for number, one in enumerate(pictures, start=1):
        width, height = picture_size(root / "images" / one.file)
        verified = {*one.verified, *(single.name for single in one.objects)}
        images.append({
            "id": number, "file_name": f"images/{one.file}", "width": width, "height": height,
            "verified": sorted(_NUMBERS[name] for name in verified),
        })  # fmt: skip
        annotations += [
            {"image_id": number, **_annotation(single, (width, height), root)}
            for single in one.objects
        ]
    found = {"images": images, "annotations": numbered(annotations)}
    return {**found, "categories": categories(COCO)}


def _annotation(one: _Object, size: tuple[int, int], root: Path) -> dict[str, Any]:
    width, height = size
    left, top, right, bottom = one.box
    box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
    told = {"category_id": _NUMBERS[one.name], "bbox": box, "area": box[2] * box[3]}
    told |= {"iscrowd": 0, "group_of": int(one.group)}
    if one.mask in ("", "nan", "None"):
        return told
    if one.size is not None and one.size != size:
        raise DataError(
            f"{one.place}: a mask of {one.size[0]}x{one.size[1]}, and the picture is "
            f"{width}x{height}"
        )
    mask = _drawn(root / one.mask, size) if one.mask.endswith(".png") else _decoded(one, size)
    return {**told, "segmentation": mask, "area": float(rle.area(mask))}


def _decoded(one: _Object, size: tuple[int, int]) -> dict[str, Any]:
    """A mask that is COCO's run-length code, compressed by zlib, as Base64."""
    try:
        counts = zlib.decompress(base64.b64decode(one.mask, validate=True))
        code = {"size": [size[1], size[0]], "counts": counts}
        whole_picture = rle.area(code) <= size[0] * size[1] and rle.decode(code).any()
    except (binascii.Error, zlib.error, ValueError) as error:
        raise DataError(f"{one.place}: the mask is damaged: {error}") from error
    if not whole_picture:
        raise DataError(f"{one.place}: the mask is empty, or not of the picture's size")
    return {**code, "counts": counts.decode()}


def _drawn(path: Path, size: tuple[int, int]) -> dict[str, Any]:
    """A mask of a PNG file, which may have another size than the picture."""
    try:
        with Image.open(path) as picture:
            scaled = picture.convert("L").resize(size, Image.Resampling.NEAREST)
    except UNREADABLE as error:
        raise DataError(f"{path} is not a readable mask: {error}") from error
    code = rle.encode(np.asfortranarray(np.asarray(scaled) > 0, dtype=np.uint8))
    return {"size": code["size"], "counts": code["counts"].decode()}
