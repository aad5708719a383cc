"""Stored annotations and finds in COCO's format, as the page's instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle
from skimage.measure import find_contours

from vcm_mt.report.page import Instance

#: Fewest score of a detection that goes into the page, and how many of a picture's best.
_SCORE, _BEST = 0.1, 30


def best(found: Sequence[dict[str, Any]], score: float = _SCORE) -> list[dict[str, Any]]:
    """A picture's best finds of this score or more."""
    ranked = sorted(found, key=lambda one: -one["score"])
    return [one for one in ranked[:_BEST] if one["score"] >= score]


def instance(one: Mapping[str, Any], classes: Mapping[int, str], shape: Sequence[int]) -> Instance:
    """An annotation or a find, of a picture of a shape (H, W, ...)."""
    x, y, width, height = one["bbox"]
    return Instance(
        classes.get(one["category_id"], f"category {one['category_id']}"),
        one.get("score"),
        (x, y, x + width, y + height),
        _rings(one.get("segmentation"), shape),
        one.get("instance_id"),
    )


def named(classes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[int, str]]:
    """The categories' names by task, their numbers as JSON keeps them."""
    return {
        task: {int(number): name for number, name in known.items()}
        for task, known in classes.items()
    }


def _rings(mask: Any, shape: Sequence[int]) -> list[list[float]]:
    """Outlines of a mask in COCO's format, polygons or run lengths."""
    if not isinstance(mask, dict):
        return mask or []
    counts = mask["counts"]
    packed = mask if isinstance(counts, str) else rle.frPyObjects(mask, *shape[:2])
    outlines = find_contours(np.pad(rle.decode(packed), 1), 0.5)
    return [[float(v) for v in (ring[:, ::-1] - 0.5).ravel()] for ring in outlines]
