"""Average precision at one IoU threshold as the area under a curve, from matches by picture.

This is how OpenImages' challenge and AVA measure, after PASCAL VOC 2010: precision is the best at
that recall or a higher one, and recall goes up in the steps that there are, not in 101 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pycocotools import mask as rle
from typing_extensions import Self

from vcm_mt.curves.matches import Matches

#: Scores that are computed so: OpenImages' challenge AP, and the frame mAP of actions.
AREA_SCORES = ("oiAP", "fmAP")
#: IoU from which a detection matches an object, for both.
THRESHOLD = 0.5


class Judged(NamedTuple):
    """Detections of one category in one picture.

    Attributes:
        category: Its number, from 0.
        picture: Its number, from 0.
        objects: How many there are to find.
        scores: float64 [D].
        hits: bool [D].
    """

    category: int
    picture: int
    objects: int
    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class AreaMatches(Matches):
    """As :class:`Matches`, at one threshold: bit 0 of ``hits``."""

    @classmethod
    def gathered(cls, parts: Iterable[Judged], num_categories: int, num_pictures: int) -> Self:
        """Put the detections of all categories and pictures together."""
        objects = np.zeros((num_categories, num_pictures), np.int32)
        found = list(parts)
        for one in found:
            objects[one.category, one.picture] = one.objects
        lengths = [len(one.scores) for one in found]
        category = np.repeat(np.array([one.category for one in found], np.int64), lengths)
        picture = np.repeat(np.array([one.picture for one in found], np.int32), lengths)
        scores = np.concatenate([np.zeros(0), *(one.scores for one in found)])
        hits = np.concatenate([np.zeros(0, bool), *(one.hits for one in found)])
        order = np.lexsort((-scores, category))
        begins = np.searchsorted(category[order], np.arange(num_categories + 1))
        flags = hits[order].astype(np.uint16)
        return cls(objects, begins, picture[order], flags, np.zeros_like(flags))

    def average_precision(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The mean area under the categories' curves in percent; see :class:`Matches`."""
        if weights is None:
            weights = np.ones((1, self.objects.shape[1]))
        return 100 * _mean_area(self.objects, self.begins, self.pictures, self.hits, weights)


def match_best(ious: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which detections are right: each one may match the object that it overlaps most.

    Unlike in COCO's evaluation it does not turn to another object when that one is found already.

    Args:
        ious: [D, O], intersection over union.
        scores: [D].
    """
    hits = np.zeros(len(ious), bool)
    if not ious.size:
        return hits
    covered = np.zeros(ious.shape[1], bool)
    best = ious.argmax(axis=1)
    for number in np.argsort(-scores, kind="stable"):
        own = best[number]
        if ious[number, own] >= THRESHOLD and not covered[own]:
            covered[own] = hits[number] = True
    return hits


def overlaps(found: Sequence[Any], objects: Sequence[Any], of_found: bool) -> NDArray[np.float64]:
    """Intersection over union, or over the detection's own area, [D, O], by pycocotools.

    Args:
        found: Boxes x, y, w, h, or run-length codes of masks.
        objects: Likewise.
        of_found: Whether it is over the detection's area.
    """
    if not len(found) or not len(objects):
        return np.zeros((len(found), len(objects)))
    shares = rle.iou(list(found), list(objects), [int(of_found)] * len(objects))
    return np.asarray(shares, np.float64).reshape(len(found), len(objects))


def matches_of(metric: str) -> type[Matches]:
    """The kind of matches that a metric's score is computed from, by its name."""
    return AreaMatches if metric.rpartition("_")[2] in AREA_SCORES else Matches


@njit(cache=True)
def _mean_area(objects, begins, pictures, hits, weights):
    """The mean over categories with objects, for several weightings of the pictures at once."""
    found = np.empty(len(weights))
    longest = 0
    for category in range(len(objects)):
        longest = max(longest, begins[category + 1] - begins[category])
    recall, precision = np.empty(longest), np.empty(longest)
    for row in range(len(weights)):
        weight = weights[row]
        total, counted = 0.0, 0
        for category in range(len(objects)):
            positives = (objects[category] * weight).sum()
            if positives == 0:
                continue
            counted += 1
            first, last = begins[category], begins[category + 1]
            right, wrong = 0.0, 0.0
            for at in range(first, last):
                if hits[at] & 1:
                    right += weight[pictures[at]]
                else:
                    wrong += weight[pictures[at]]
                recall[at - first] = right / positives
                precision[at - first] = right / max(right + wrong, 1e-30)
            envelope = 0.0
            for at in range(last - first - 1, -1, -1):
                envelope = max(envelope, precision[at])
                total += envelope * (recall[at] - (recall[at - 1] if at else 0.0))
        found[row] = total / counted if counted else np.nan
    return found
