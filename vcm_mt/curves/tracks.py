"""HOTA, MOTA and IDF1 from counts by video, so that videos can be resampled.

The counts are those of motrics, whose figures equal TrackEval's. They are taken by video and
category, and added up: a track matches objects of its own category alone. As MOTChallenge has it, a
track that matches a crowd in a frame is neither right nor wrong there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask
from scipy.optimize import linear_sum_assignment
from typing_extensions import Self

from vcm_mt.errors import ConfigError, MeasurementError

#: The metrics and the length of a video's counts: of HOTA, true positives, misses, false positives
#: and the sum of association scores at each of 19 localisation thresholds; of MOTA, objects,
#: misses, false positives and switches of identity; of IDF1, true positives, misses, false ones.
TRACK_METRICS = {"HOTA": 4 * 19, "MOTA": 4, "IDF1": 3}

#: Intersection over union from which a track matches a crowd.
_OVERLAP = 0.5
#: By frame: number of the track, category, box x, y, w, h.
Frames = Sequence[Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, eq=False)
class TrackCounts:
    """What one of :data:`TRACK_METRICS` is computed from.

    Attributes:
        metric: Its name.
        counts: float64 [V, N], by video.
    """

    metric: str
    counts: NDArray[np.float64]

    @property
    def num_units(self) -> int:
        """V."""
        return len(self.counts)

    def score(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The metric over weighted videos in percent.

        Args:
            weights: float64 [B, V], how often each video counts; by default each once.

        Returns:
            float64 [B], or [1] without weights; NaN where there is no object.
        """
        if weights is None:
            weights = np.ones((1, self.num_units))
        with np.errstate(invalid="ignore", divide="ignore"):
            return 100 * _SCORES[self.metric](weights @ self.counts)

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
            length = TRACK_METRICS[told["metric"]]
            counts = np.array(told["counts"], dtype=np.float64).reshape(-1, length)
            return cls(told["metric"], counts)
        except (ValueError, TypeError, KeyError) as error:
            raise MeasurementError(f"damaged tracks of an R-P point: {error!r}") from error


def count_tracks(truth: Sequence[Frames], found: Sequence[Frames]) -> dict[str, TrackCounts]:
    """Match tracks with objects.

    Args:
        truth: By video and frame, the objects: ``instance_id``, ``category_id``, ``bbox``
            (x, y, w, h in pixels), ``iscrowd`` where it is 1.
        found: The tracks, likewise.

    Returns:
        By the metric's name.

    Raises:
        ConfigError: When motrics is not installed.
    """
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in TRACK_METRICS}
    for objects, tracks in zip(truth, found, strict=True):
        sums = {name: np.zeros(length) for name, length in TRACK_METRICS.items()}
        for category in {one["category_id"] for frame in (*objects, *tracks) for one in frame}:
            for name, counts in _counted(objects, tracks, category).items():
                sums[name] += counts
        for name, counts in sums.items():
            parts[name].append(counts)
    return {name: TrackCounts(name, np.stack(rows)) for name, rows in parts.items()}


def by_video(
    entries: Sequence[Mapping[str, Any]], videos: Sequence[Sequence[Any]]
) -> list[list[list[Mapping[str, Any]]]]:
    """Sort annotations or finds, which have an ``image_id``, by the frames of videos."""
    known: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        known[entry["image_id"]].append(entry)
    return [[known[frame] for frame in frames] for frames in videos]


def _counted(objects: Frames, tracks: Frames, category: int) -> dict[str, NDArray[np.float64]]:
    try:
        import motrics
    except ImportError as error:
        raise ConfigError(
            "tracking is measured with motrics: pip install 'vcm_mt[tracking]'"
        ) from error

    def of_category(given: Frames) -> list[list[Mapping[str, Any]]]:
        return [[one for one in frame if one["category_id"] == category] for frame in given]

    def frames(own: Frames) -> Any:
        ids = [[int(one["instance_id"]) for one in frame] for frame in own]
        return motrics.Frames(ids, [[_corners(*one["bbox"]) for one in frame] for frame in own])

    pairs = map(_without_crowds, of_category(objects), of_category(tracks))
    found = motrics.evaluate(*map(frames, zip(*pairs, strict=True)))
    hota, clear, identity = found.hota, found.clear, found.identity
    right = np.array(hota.hota_tp_alphas, dtype=np.float64)
    misses, wrong = np.array(hota.hota_fn_alphas), np.array(hota.hota_fp_alphas)
    return {
        "HOTA": np.stack([right, misses, wrong, right * np.array(hota.assa_alphas)]).ravel(),
        "MOTA": np.array(
            [clear.num_gt, clear.num_misses, clear.num_false_positives, clear.num_switches],
            dtype=np.float64,
        ),
        "IDF1": np.array([identity.idtp, identity.idfn, identity.idfp], dtype=np.float64),
    }


def _without_crowds(
    objects: Sequence[Mapping[str, Any]], tracks: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """A frame without its crowds, and without the tracks that match them."""
    crowds = [bool(one.get("iscrowd")) for one in objects]
    if not any(crowds):
        return objects, tracks
    overlaps = np.array(
        mask.iou([o["bbox"] for o in tracks], [o["bbox"] for o in objects], [0] * len(objects))
    ).reshape(len(tracks), len(objects))
    rows, columns = linear_sum_assignment(np.where(overlaps >= _OVERLAP, -overlaps, 0))
    pairs = zip(rows, columns, strict=True)
    dropped = {r for r, c in pairs if crowds[c] and overlaps[r, c] >= _OVERLAP}
    return (
        [one for one, crowd in zip(objects, crowds, strict=True) if not crowd],
        [one for number, one in enumerate(tracks) if number not in dropped],
    )


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, ...]:
    return float(x), float(y), float(x + width), float(y + height)


def _hota(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    right, misses, wrong, associated = np.moveaxis(sums.reshape(len(sums), 4, -1), 1, 0)
    detection = right / (right + misses + wrong)
    association = associated / np.maximum(right, 1)
    score: NDArray[np.float64] = np.sqrt(detection * association).mean(axis=-1)
    return np.where((right + misses)[:, 0] > 0, score, np.nan)


def _mota(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    objects, misses, wrong, switches = sums.T
    score: NDArray[np.float64] = 1 - (misses + wrong + switches) / objects
    return np.where(objects > 0, score, np.nan)


def _idf1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    right, misses, wrong = sums.T
    score: NDArray[np.float64] = right / (right + misses / 2 + wrong / 2)
    return np.where(right + misses > 0, score, np.nan)


_SCORES = {"HOTA": _hota, "MOTA": _mota, "IDF1": _idf1}
