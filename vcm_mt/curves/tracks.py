"""HOTA, MOTA and IDF1 from counts by video, so that videos can be resampled.

The counts are those of motrics, whose figures equal TrackEval's. They are taken by video and
category, and added up: a track matches objects of its own category alone. As MOTChallenge has it, a
track that matches a crowd in a frame is neither right nor wrong there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask
from scipy.optimize import linear_sum_assignment

from vcm_mt.curves.clear import count_clear
from vcm_mt.curves.counts import Counts
from vcm_mt.errors import ConfigError

#: The metrics and the length of a video's counts, see :mod:`vcm_mt.curves.counts`.
TRACK_METRICS = {"HOTA": 4 * 19, "MOTA": 4, "IDF1": 3}

#: Intersection over union from which a track matches a crowd.
_OVERLAP = 0.5
#: By frame: number of the track, category, box x, y, w, h.
Frames = Sequence[Sequence[Mapping[str, Any]]]


def count_tracks(
    truth: Sequence[Frames], found: Sequence[Frames], clear: bool = False
) -> dict[str, Counts]:
    """Match tracks with objects.

    Args:
        truth: By video and frame, the objects: ``instance_id``, ``category_id``, ``bbox``
            (x, y, w, h in pixels), ``iscrowd`` where it is 1.
        found: The tracks, likewise.
        clear: Count for MOTA as motmetrics does, see :mod:`vcm_mt.curves.clear`.

    Returns:
        By the metric's name.

    Raises:
        ConfigError: When motrics is not installed.
    """
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in TRACK_METRICS}
    for objects, tracks in zip(truth, found, strict=True):
        sums = {name: np.zeros(length) for name, length in TRACK_METRICS.items()}
        for category in {one["category_id"] for frame in (*objects, *tracks) for one in frame}:
            for name, counts in _counted(objects, tracks, category, clear).items():
                sums[name] += counts
        for name, counts in sums.items():
            parts[name].append(counts)
    return {name: Counts(name, np.stack(rows)) for name, rows in parts.items()}


def by_video(
    entries: Sequence[Mapping[str, Any]], videos: Sequence[Sequence[Any]]
) -> list[list[list[Mapping[str, Any]]]]:
    """Sort annotations or finds, which have an ``image_id``, by the frames of videos."""
    known: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        known[entry["image_id"]].append(entry)
    return [[known[frame] for frame in frames] for frames in videos]


def shifted(box: Sequence[float], offset: float) -> list[float]:
    """A box x, y, w, h, moved to the left and up by an offset in pixels.

    MPEG's evaluation reads tracks as MOTChallenge writes them, whose pixels count from 1, and takes
    1 from their corners; those of detectors count from 0.
    """
    x, y, *size = box
    return [x - offset, y - offset, *size]


def _counted(
    objects: Frames, tracks: Frames, category: int, clear_mot: bool
) -> dict[str, NDArray[np.float64]]:
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

    pairs = list(map(_without_crowds, of_category(objects), of_category(tracks)))
    parts = [[pair[part] for pair in pairs] for part in (0, 1)]
    found = motrics.evaluate(*map(frames, parts))
    hota, clear, identity = found.hota, found.clear, found.identity
    right = np.array(hota.hota_tp_alphas, dtype=np.float64)
    misses, wrong = np.array(hota.hota_fn_alphas), np.array(hota.hota_fp_alphas)
    return {
        "HOTA": np.stack([right, misses, wrong, right * np.array(hota.assa_alphas)]).ravel(),
        "MOTA": count_clear(*parts)
        if clear_mot
        else np.array(
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
