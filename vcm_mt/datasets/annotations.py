"""Reading of COCO annotation files for training, validation and every mAP."""

from __future__ import annotations

from vcm_mt import registry  # noqa: F401

# That comes first, so that the import of mmdet prints nothing.
# isort: split

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mmdet.datasets.api_wrappers import COCO

from vcm_mt.errors import DataError

_LISTS = ("images", "annotations", "categories")


class Annotations(COCO):
    """A COCO annotation file.

    Missing fields are filled in: ``iscrowd`` with 0, ``area`` with the area of the box. If an
    annotation's ``id`` is missing, repeated or 0 (which pycocotools reads as "no match"), all are
    renumbered from 1. Polygons with fewer than three corners are dropped.

    Args:
        path: The file.
        classes: Keep only these categories and their objects; by default all.

    Raises:
        DataError: If the file cannot be read, is not in COCO format, has two pictures with the same
            id, or lacks a class.
    """

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None) -> None:
        super().__init__()
        self._path = path
        self.dataset = _read(path)
        if classes is not None:
            kept = set(self.get_cat_ids(classes))
            self.dataset |= {
                "categories": [one for one in self.dataset["categories"] if one["id"] in kept],
                "annotations": [
                    one for one in self.dataset["annotations"] if one["category_id"] in kept
                ],
            }
        with redirect_stdout(io.StringIO()):
            self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(self, cat_names: Sequence[str] = (), *_: Any, **__: Any) -> list[int]:
        """The ids of categories in the order of ``cat_names``, or of all in the file's order.

        Raises:
            DataError: If a category is missing or ambiguous.
        """
        known = self.dataset["categories"]
        if not cat_names:
            return [one["id"] for one in known]
        counts = Counter(one["name"] for one in known)
        if missing := [name for name in cat_names if not counts[name]]:
            raise DataError(
                f"{self._path} has only {len(cat_names) - len(missing)} of the classes "
                f"{', '.join(cat_names)}: set the dataset's metainfo.classes to what the task "
                "network was trained for"
            )
        if twice := [name for name in cat_names if counts[name] > 1]:
            raise DataError(f"{self._path} has several categories called {', '.join(twice)}")
        numbers = {one["name"]: one["id"] for one in known}
        return [numbers[name] for name in cat_names]

    def without_mask(self) -> list[Any]:
        """The ids of objects whose segmentation is missing, empty, or of another size."""
        return [
            one["id"]
            for one in self.dataset["annotations"]
            if one["image_id"] in self.imgs
            and not _is_mask(one.get("segmentation"), self.imgs[one["image_id"]])
        ]


def _read(path: str | Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"the annotations cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not in COCO format: it is not JSON: {error}") from error
    try:
        return _filled_in(content)
    except DataError as error:
        raise DataError(f"{path} is not in COCO format: {error}") from error


def _filled_in(content: Any) -> dict[str, Any]:
    """The content of a file, checked and completed for pycocotools and mmdet."""
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(f"it is a {kind}, not a dictionary of images and categories")
    content.setdefault("annotations", [])  # test sets have none
    for name in _LISTS:
        if not isinstance(content.get(name), list):
            raise DataError(f"it has no list of {name}")
        if not all(isinstance(one, dict) for one in content[name]):
            raise DataError(f"its {name} are no dictionaries")
    for one in content["images"]:
        _check_image(one)
    _check_ids("pictures", "file_name", content["images"])
    for one in content["categories"]:
        if not isinstance(one.get("name"), str) or "id" not in one:
            raise DataError(f"the category {one} has no name and id")
    _check_ids("categories", "name", content["categories"])
    for one in content["annotations"]:
        _fill_in(one)
    _renumber(content["annotations"])
    return content


def _check_image(image: dict[str, Any]) -> None:
    if not isinstance(image.get("file_name"), str) or "id" not in image:
        raise DataError(f"the picture {image} has no file_name and id")
    for side in ("width", "height"):
        size = image.get(side)
        if not isinstance(size, int | float) or not float(size).is_integer() or size < 1:
            raise DataError(f"the picture {image['file_name']} has no {side} in pixels, but {size}")


def _check_ids(what: str, name: str, entries: Iterable[dict[str, Any]]) -> None:
    """Check that the ids of the entries are unique."""
    known: dict[Any, str] = {}
    for one in entries:
        if not isinstance(one["id"], int | float | str):
            raise DataError(f"the id of {one[name]} must be a number or a word, not {one['id']!r}")
        if one["id"] in known:
            raise DataError(
                f"its {what} {known[one['id']]} and {one[name]} have the same id {one['id']}"
            )
        known[one["id"]] = one[name]


def _fill_in(one: dict[str, Any]) -> None:
    box = one.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        raise DataError(f"annotation {one.get('id')} has no bbox [x, y, width, height], but {box}")
    if "image_id" not in one or "category_id" not in one:
        raise DataError(f"annotation {one.get('id')} has no image_id and category_id")
    if one.get("iscrowd") is None:
        one["iscrowd"] = 0
    if one.get("area") is None:
        one["area"] = box[2] * box[3]
    rings = one.get("segmentation")
    if isinstance(rings, list):
        kept = [r for r in rings if isinstance(r, list) and len(r) >= 6 and not len(r) % 2]
        if len(kept) < len(rings):
            one["segmentation"] = kept


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _renumber(annotations: list[dict[str, Any]]) -> None:
    """Number all annotations from 1 on if an id is missing, 0 or repeated."""
    ids = [one.get("id") for one in annotations]
    valid = all(isinstance(own, int | float | str) and own for own in ids)
    if not valid or len(set(ids)) < len(ids):
        for number, one in enumerate(annotations, start=1):
            one["id"] = number


def _is_mask(mask: Any, image: dict[str, Any]) -> bool:
    """Whether a segmentation is a list of polygons, or a run-length code of the picture's size."""
    if isinstance(mask, dict):
        return "counts" in mask and mask.get("size") == [image["height"], image["width"]]
    return isinstance(mask, list) and bool(mask)
