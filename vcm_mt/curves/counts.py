"""Scores that follow from counts by picture or video, so that these can be resampled.

Unlike average precision, they are functions of sums: the counts of pictures are added up, and
the score is computed from the sum.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vcm_mt.errors import MeasurementError

_Sums = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """What one of :data:`COUNTED` is computed from.

    Attributes:
        metric: Its name.
        counts: float64 [U, N], by picture or video.
    """

    metric: str
    counts: _Sums

    @property
    def num_units(self) -> int:
        """U."""
        return len(self.counts)

    def score(self, weights: _Sums | None = None) -> _Sums:
        """The metric over weighted pictures or videos, in percent.

        Args:
            weights: float64 [B, U], how often each counts; by default each once.

        Returns:
            float64 [B], or [1] without weights; NaN where there is nothing to find.
        """
        if weights is None:
            weights = np.ones((1, self.num_units))
        with np.errstate(invalid="ignore", divide="ignore"):
            return 100 * COUNTED[self.metric](weights @ self.counts)

    def grouped(self, groups: list[int]) -> Self:
        """Put pictures together, as those of a video.

        Args:
            groups: The group's number of each picture; numbers go from 0 on.
        """
        sums = np.zeros((max(groups) + 1, self.counts.shape[1]))
        np.add.at(sums, groups, self.counts)
        return replace(self, counts=sums)

    def to_text(self) -> str:
        """Encode for JSON."""
        return json.dumps({"metric": self.metric, "counts": self.counts.tolist()})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The inverse of :meth:`to_text`.

        Raises:
            MeasurementError: When it is not what :meth:`to_text` wrote.
        """
        try:
            told = json.loads(text)
            counts = np.array(told["counts"], dtype=np.float64)
            found = cls(told["metric"], counts.reshape(len(counts), -1))
            found.score()
        except (ValueError, TypeError, KeyError) as error:
            raise MeasurementError(f"damaged counts of an R-P point: {error!r}") from error
        return found


def _hota(sums: _Sums) -> _Sums:
    """From true positives, misses, false positives, association scores; each at 19 thresholds."""
    right, misses, wrong, associated = np.moveaxis(sums.reshape(len(sums), 4, 19), 1, 0)
    detection = right / (right + misses + wrong)
    association = associated / np.maximum(right, 1)
    score: _Sums = np.sqrt(detection * association).mean(axis=-1)
    return np.where((right + misses)[:, 0] > 0, score, np.nan)


def _mota(sums: _Sums) -> _Sums:
    """From objects, misses, false positives and switches of identity."""
    objects, misses, wrong, switches = sums.T
    score: _Sums = 1 - (misses + wrong + switches) / objects
    return np.where(objects > 0, score, np.nan)


def _idf1(sums: _Sums) -> _Sums:
    """From true positives, misses and false positives of identities."""
    right, misses, wrong = sums.T
    score: _Sums = right / (right + misses / 2 + wrong / 2)
    return np.where(right + misses > 0, score, np.nan)


def _miou(sums: _Sums) -> _Sums:
    """From the intersection, and the areas found and labelled, of each class.

    Classes that are neither found nor labelled do not count, as in mmsegmentation's metric.
    """
    both, found, labelled = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    known = found + labelled > 0
    overlap = np.where(known, both / (found + labelled - both), 0.0)
    score: _Sums = overlap.sum(axis=1) / known.sum(axis=1)
    return score


def _top1(sums: _Sums) -> _Sums:
    """From what was right, and how many there were."""
    right, total = sums.T
    score: _Sums = right / total
    return score


#: Scores in [0, 1] (MOTA may be negative) from sums of counts [B, N], by name.
COUNTED: dict[str, Callable[[_Sums], _Sums]] = {
    "HOTA": _hota,
    "MOTA": _mota,
    "IDF1": _idf1,
    "mIoU": _miou,
    "top1": _top1,
}
