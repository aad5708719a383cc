"""CLEAR MOT as MPEG's evaluation counts it, by the rules of motmetrics.

TrackEval, whose figures motrics gives, weighs keeping a match against better ones; here a match
that still overlaps is always kept. The two differ in one sequence of some hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vcm_mt.curves.voc import THRESHOLD, overlaps

_Frame = Sequence[Mapping[str, Any]]


def count_clear(objects: Sequence[_Frame], tracks: Sequence[_Frame]) -> NDArray[np.float64]:
    """Objects, misses, false positives and switches of identity.

    K. Bernardin, R. Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT
    metrics", 2008, at an IoU of 0.5.

    Args:
        objects: By frame, with ``instance_id`` and ``bbox`` (x, y, w, h).
        tracks: Likewise.
    """
    last: dict[int, int] = {}
    total = misses = wrong = switches = 0
    for known, seen in zip(objects, tracks, strict=True):
        pairs = _pairs(known, seen, last)
        for row, column in pairs:
            own, number = int(known[row]["instance_id"]), int(seen[column]["instance_id"])
            switches += last.get(own, number) != number
            last[own] = number
        total += len(known)
        misses += len(known) - len(pairs)
        wrong += len(seen) - len(pairs)
    return np.array([total, misses, wrong, switches], np.float64)


def _pairs(known: _Frame, seen: _Frame, last: Mapping[int, int]) -> list[tuple[int, int]]:
    """Numbers of objects and tracks that match: kept ones first, then those that overlap most."""
    shares = overlaps([one["bbox"] for one in seen], [one["bbox"] for one in known], False).T
    numbers = [int(one["instance_id"]) for one in seen]
    free = set(range(len(seen)))
    kept: dict[int, int] = {}
    for row, one in enumerate(known):
        before = last.get(int(one["instance_id"]))
        if before in numbers:
            column = numbers.index(before)
            if column in free and shares[row, column] >= THRESHOLD:
                kept[row] = column
                free.discard(column)
    rows, columns = [n for n in range(len(known)) if n not in kept], sorted(free)
    # An impossible pair costs more than all possible ones together.
    rest = shares[np.ix_(rows, columns)]
    costs = np.where(rest >= THRESHOLD, 1 - rest, 2.0 * max(1, *rest.shape))
    chosen = zip(*linear_sum_assignment(costs), strict=True)
    more = [(rows[r], columns[c]) for r, c in chosen if rest[r, c] >= THRESHOLD]
    return [*kept.items(), *more]
