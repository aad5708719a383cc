"""COCO annotation files, read in one way for training, validation and every mAP."""

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

    What exporters leave out is filled in: ``iscrowd`` is 0, ``area`` the box's, and ``id`` a
    number from 1 on where one is missing, there twice, or 0, which pycocotools takes for no match.
    A ring of a segmentation that has no area, fewer than three corners, is left out.

    Args:
        path: The file.
        classes: Keep only these categories and their objects; by default all.

    Raises:
        DataError: When the file can't be read, is not in COCO format, has two pictures of one
            number, or lacks a class.
    """

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None) -> None:
        super().__init__()
        self._path = path
        self.dataset = _read(path)
        if classes is not None:
            judged = set(self.get_cat_ids(classes))
            self.dataset |= {
                "categories": [one for one in self.dataset["categories"] if one["id"] in judged],
                "annotations": [
                    one for one in self.dataset["annotations"] if one["category_id"] in judged
                ],
            }
        with redirect_stdout(io.StringIO()):
            self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(self, cat_names: Sequence[str] = (), *_: Any, **__: Any) -> list[int]:
        """The categories' numbers in the order of their names, or all in the file's.

        Raises:
            DataError: When one is missing, or there twice.
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
        """Numbers of the objects whose segmentation is missing, empty, or of another size."""
        return [
            one["id"]
            for one in self.dataset["annotations"]
            if one["image_id"] in self.imgs
            and not _is_mask(one.get("segmentation"), self.imgs[one["image_id"]])
        ]


def _read(path: str | Path) -> dict[str, Any]:
    try:
        told = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"the annotations can't be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not in COCO format: it is not JSON: {error}") from error
    try:
        return _filled_in(told)
    except DataError as error:
        raise DataError(f"{path} is not in COCO format: {error}") from error


def _filled_in(told: Any) -> dict[str, Any]:
    """The file's content as pycocotools and mmdet want it."""
    if not isinstance(told, dict):
        raise DataError(f"it is a {type(told).__name__}, not a dictionary of images and categories")
    told.setdefault("annotations", [])  # test sets have none
    for name in _LISTS:
        if not isinstance(told.get(name), list):
            raise DataError(f"it has no list of {name}")
        if not all(isinstance(one, dict) for one in told[name]):
            raise DataError(f"its {name} are no dictionaries")
    for one in told["images"]:
        _check_image(one)
    _check_numbers("pictures", "file_name", told["images"])
    for one in told["categories"]:
        if not isinstance(one.get("name"), str) or "id" not in one:
            raise DataError(f"the category {one} has no name and id")
    _check_numbers("categories", "name", told["categories"])
    for one in told["annotations"]:
        _fill_in(one)
    _number(told["annotations"])
    return told


def _check_image(image: dict[str, Any]) -> None:
    if not isinstance(image.get("file_name"), str) or "id" not in image:
        raise DataError(f"the picture {image} has no file_name and id")
    for side in ("width", "height"):
        size = image.get(side)
        if not isinstance(size, int | float) or not float(size).is_integer() or size < 1:
            raise DataError(f"the picture {image['file_name']} has no {side} in pixels, but {size}")


def _check_numbers(what: str, name: str, entries: Iterable[dict[str, Any]]) -> None:
    """Each entry must have a number of its own."""
    known: dict[Any, str] = {}
    for one in entries:
        if not isinstance(one["id"], int | float | str):
            raise DataError(f"{one[name]} has the number {one['id']!r}")
        if one["id"] in known:
            raise DataError(
                f"its {what} {known[one['id']]} and {one[name]} have the same number {one['id']}"
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


def _number(annotations: list[dict[str, Any]]) -> None:
    numbers = [one.get("id") for one in annotations]
    fine = all(isinstance(number, int | float | str) and number for number in numbers)
    if not fine or len(set(numbers)) < len(numbers):
        for number, one in enumerate(annotations, start=1):
            one["id"] = number


def _is_mask(mask: Any, image: dict[str, Any]) -> bool:
    """Rings with corners, or run lengths over the whole picture."""
    if isinstance(mask, dict):
        return "counts" in mask and mask.get("size") == [image["height"], image["width"]]
    return isinstance(mask, list) and bool(mask)
