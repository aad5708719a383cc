"""The average precision of OpenImages' challenge, at an IoU of 0.5.

It differs from COCO's: classes that nobody looked for in a picture are not judged there; a box
around many objects (group-of) counts as one, which is found by whatever lies in it for the most
part; an object also counts for the classes that its own is a part of.
https://storage.googleapis.com/openimages/web/evaluation.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO

from vcm_mt.curves.voc import THRESHOLD, AreaMatches, Judged, match_best, overlaps

#: Ancestors of a category by its id.
Parents = Mapping[int, Sequence[int]]
_Entries = Sequence[Mapping[str, Any]]


def openimages_matches(
    truth: COCO,
    found: _Entries,
    kind: str,
    ids: Sequence[Any],
    parents: Parents | None = None,
) -> AreaMatches:
    """Match detections to the truth.

    Objects without a mask are not to be found where masks are judged; the first detection that
    matches the box of one does not count.

    Args:
        truth: Pictures have ``verified``, the ids of categories that were looked for; objects may
            have ``group_of``.
        found: Detections in COCO's result format.
        kind: "bbox" or "segm".
        ids: The pictures' image_id, in the order of the data set.
        parents: All ancestors of each category that has any.
    """
    above = parents or {}
    places = {category: n for n, category in enumerate(truth.cats)}
    by_picture: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for one in found:
        by_picture[one["image_id"]].append(one)

    def parts() -> Iterator[Judged]:
        for number, picture in enumerate(ids):
            objects = _by_category(truth.imgToAnns.get(picture, []), above)
            wanted = {*truth.imgs[picture]["verified"], *objects}
            finds = _by_category(by_picture[picture], above)
            for category in sorted(wanted & places.keys()):
                own = (finds.get(category, []), objects.get(category, []))
                if any(own):
                    yield Judged(places[category], number, *_judged(*own, kind, truth, picture))

    return AreaMatches.gathered(parts(), len(places), len(ids))


def _by_category(entries: _Entries, parents: Parents) -> dict[int, list[Mapping[str, Any]]]:
    """Entries by category, each also under its category's ancestors."""
    known: dict[int, list[Mapping[str, Any]]] = {}
    for one in entries:
        for category in (one["category_id"], *parents.get(one["category_id"], ())):
            known.setdefault(category, []).append(one)
    return known


class _Shapes(NamedTuple):
    """What detections are compared with, and by what: boxes or masks."""

    single: NDArray[np.float64]
    inside: NDArray[np.float64]


def _judged(
    finds: _Entries, objects: _Entries, kind: str, truth: COCO, picture: Any
) -> tuple[int, NDArray[np.float64], NDArray[np.bool_]]:
    """The number of objects, and score and success of what counts as a detection."""
    scores = np.array([one["score"] for one in finds], np.float64)
    masked = [one for one in objects if kind == "bbox" or one.get("segmentation")]
    shapes = _shapes(finds, masked, kind, truth, picture)
    hits, groups, inside = _matched(shapes, scores, ~np.zeros(len(scores), bool))
    keep = ~inside
    if len(masked) < len(objects):
        bare = [one for one in objects if not one.get("segmentation")]
        boxes = _shapes(finds, bare, "bbox", truth, picture)
        other, _, within = _matched(boxes, scores, ~hits & ~inside)
        keep &= ~other & ~within
    # A group that is found counts once, with the best score of what lies in it.
    return (
        len(masked),
        np.concatenate([scores[keep], groups[groups > 0]]),
        np.concatenate([hits[keep], np.ones(int((groups > 0).sum()), bool)]),
    )


def _shapes(finds: _Entries, objects: _Entries, kind: str, truth: COCO, picture: Any) -> _Shapes:
    group = [bool(one.get("group_of")) for one in objects]
    if kind == "bbox":
        own, known = [one["bbox"] for one in finds], [one["bbox"] for one in objects]
    else:
        own = [_code(one["segmentation"], truth, picture) for one in finds]
        known = [_code(one["segmentation"], truth, picture) for one in objects]
    one_by_one = [shape for shape, many in zip(known, group, strict=True) if not many]
    together = [shape for shape, many in zip(known, group, strict=True) if many]
    return _Shapes(overlaps(own, one_by_one, False), overlaps(own, together, True))


def _code(mask: Any, truth: COCO, picture: Any) -> Any:
    """A mask as a compressed run-length code."""
    size = truth.imgs[picture]["height"], truth.imgs[picture]["width"]
    if isinstance(mask, list):
        return rle.merge(rle.frPyObjects(mask, *size))
    return rle.frPyObjects(mask, *size) if isinstance(mask["counts"], list) else mask


def _matched(
    shapes: _Shapes, scores: NDArray[np.float64], free: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]]:
    """Hits; the best score in each group, 0 for none; and what lies in a group.

    Args:
        shapes: Overlaps of all detections.
        scores: Of all detections.
        free: Those that match nothing yet.
    """
    hits = np.zeros(len(scores), bool)
    hits[free] = match_best(shapes.single[free], scores[free])
    groups = np.zeros(shapes.inside.shape[1])
    inside = np.zeros(len(scores), bool)
    if shapes.inside.size:
        inside = free & ~hits & (shapes.inside.max(axis=1) >= THRESHOLD)
        np.maximum.at(groups, shapes.inside.argmax(axis=1)[inside], scores[inside])
    return hits, groups, inside
