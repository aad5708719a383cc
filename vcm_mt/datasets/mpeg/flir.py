"""MPEG's part of FLIR's thermal pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vcm_mt.datasets.mpeg.classes import FLIR, FLIR_OTHER, categories, known_name
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
    whole,
    write_coco,
)
from vcm_mt.errors import DataError

#: Names that the annotations have: FLIR's own, and that of MPEG's anchor.
FILES = ("thermal_annotations.json", "FLIR_val_thermal_coco_format_jpg.json")
#: A list of the pictures to take, one file name a line; without it all are taken.
LIST = "flir_input.lst"


def prepare_flir(root: Path) -> dict[Path, int]:
    """Write ``prepared/flir.json``: persons, bicycles and cars in COCO's form.

    Args:
        root: The folder with one of :data:`FILES`, and the pictures as it names them, or in
            ``thermal_8_bit/`` or ``images/``; perhaps with :data:`LIST`.

    Returns:
        The number of pictures by file.

    Raises:
        DataError: When files are missing, damaged or of another form.
    """
    path = next((root / name for name in FILES if (root / name).is_file()), root / FILES[0])
    check_there([path], str(root))
    content = json_of(path)
    images = _images(entries_of(content, "images", path), path, root)
    known = {one["id"] for one in images}
    found = [
        one
        for entry in entries_of(content, "annotations", path)
        if (one := _annotation(entry, _names(content, path), path)) and one["image_id"] in known
    ]
    target = root / PREPARED / "flir.json"
    told = {"images": images, "annotations": numbered(found), "categories": categories(FLIR)}
    write_coco(target, told)
    return {target: len(images)}


def _names(content: Any, path: Path) -> dict[int, str]:
    return {
        whole(field_of(one, "id", path), path, "the id of a category"): known_name(
            field_of(one, "name", path), (*FLIR, *FLIR_OTHER), path
        )
        for one in entries_of(content, "categories", path)
    }


def _images(entries: list[dict[str, Any]], path: Path, root: Path) -> list[dict[str, Any]]:
    listed = root / LIST
    wanted = set(listed.read_text().split()) if listed.is_file() else None
    names = [Path(field_of(one, "file_name", path)) for one in entries]
    if wanted is not None:
        absent = sorted(wanted - {name.name for name in names})
        if absent:
            raise DataError(f"{path} lacks {len(absent)} pictures of {LIST}: {', '.join(absent)}")
    chosen = [
        (one, name)
        for one, name in zip(entries, names, strict=True)
        if wanted is None or name.name in wanted
    ]
    folder = next((f for f in ("thermal_8_bit", "images") if (root / f).is_dir()), "thermal_8_bit")
    check_pictures(root / folder, [name.name for _, name in chosen], str(root))
    images = []
    for one, name in chosen:
        width, height = (
            whole(field_of(one, side, path), path, f"the {side} of {name}")
            for side in ("width", "height")
        )
        picture_size(root / folder / name.name, (width, height))
        number = whole(field_of(one, "id", path), path, f"the id of {name}")
        images.append({"id": number, "file_name": f"{folder}/{name.name}",
                       "width": width, "height": height})  # fmt: skip
    return images


def _annotation(entry: dict[str, Any], names: dict[int, str], path: Path) -> dict[str, Any] | None:
    """A box of one of MPEG's classes, or ``None``."""
    place = f"{path}, annotation {entry.get('id')}"
    number = whole(field_of(entry, "category_id", place), place, "category_id")
    if number not in names:
        raise DataError(f"{place}: unknown class {number}: categories have {sorted(names)}")
    box = [number_of(value, place, "bbox") for value in field_of(entry, "bbox", place)]
    if len(box) != 4:
        raise DataError(f"{place}: bbox has {len(box)} numbers, not x, y, width and height")
    if names[number] not in FLIR:
        return None
    return {
        "image_id": whole(field_of(entry, "image_id", place), place, "image_id"),
        "category_id": FLIR.index(names[number]) + 1,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": int(bool(entry.get("iscrowd", 0))),
    }
