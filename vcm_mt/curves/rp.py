"""Rate-performance points: the rate of a codec at one quality, and the tasks' scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vcm_mt.curves.counts import COUNTED, Counts
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.voc import matches_of
from vcm_mt.errors import MeasurementError

#: The score that a task is told by, of those that it has.
MAIN_SCORES = ("mAP", "HOTA", "mIoU", "top1", "oiAP", "fmAP")
_TITLES = {
    "det_mAP": "detection mAP (%)",
    "segm_mAP": "segmentation mAP (%)",
    "retina_mAP": "RetinaNet mAP (%)",
    "track_HOTA": "tracking HOTA (%)",
    "track_MOTA": "tracking MOTA (%)",
    "track_IDF1": "tracking IDF1 (%)",
    "pose_mAP": "pose mAP of OKS (%)",
    "sem_mIoU": "semantic mIoU (%)",
    "action_top1": "action top-1 (%)",
    "det_oiAP": "detection AP50 of OpenImages (%)",
    "segm_oiAP": "segmentation AP50 of OpenImages (%)",
    "action_fmAP": "action frame mAP (%)",
    "psnr": "PSNR (dB)",
    "ms_ssim": "MS-SSIM",
}


@dataclass(frozen=True, eq=False)
class Pictures:
    """A point's P pictures, one by one: enough to compute it on a resampled set.

    Of videos, a unit is a video: its pixels and bytes are those of all frames.

    Attributes:
        num_pixels: int64 [P], native pixels.
        num_bytes: int64 [P], bytes of each file that would be sent.
        header_bytes: int64 [P], those without picture content.
        fidelity: float64 [P] by metric, ``psnr`` in dB and ``ms_ssim``; NaN where there is none.
        matches: Each task's detections, or counts, by the metric's name.
    """

    num_pixels: NDArray[np.int64]
    num_bytes: NDArray[np.int64]
    header_bytes: NDArray[np.int64]
    fidelity: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    matches: Mapping[str, Matches | Counts] = field(default_factory=dict)

    def bpp(
        self, weights: NDArray[np.float64] | None = None, headers: bool = True
    ) -> NDArray[np.float64]:
        """Mean of the pictures' bits per pixel, float64 [B].

        Args:
            weights: float64 [B, P], how often each picture counts; by default each once, B = 1.
            headers: Whether the bytes without content count.
        """
        sent = self.num_bytes if headers else self.num_bytes - self.header_bytes
        return _mean(8 * sent / self.num_pixels, weights)

    def knows(self, metric: str) -> bool:
        """Whether :meth:`score` can compute this metric."""
        return metric in self.fidelity or metric in self.matches

    def score(self, metric: str, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """A metric over weighted pictures, float64 [B]; weights as for :meth:`bpp`."""
        if metric in self.matches:
            return self.matches[metric].score(weights)
        return _mean(self.fidelity[metric], weights)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return {
            "num_pixels": self.num_pixels.tolist(),
            "num_bytes": self.num_bytes.tolist(),
            "header_bytes": self.header_bytes.tolist(),
            "fidelity": {
                name: [None if np.isnan(value) else value for value in values.tolist()]
                for name, values in self.fidelity.items()
            },
            "matches": {name: found.to_text() for name, found in self.matches.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            MeasurementError: A key is missing, or its values are of another kind or number.
        """
        try:
            found = cls(
                np.array(data["num_pixels"], dtype=np.int64),
                np.array(data["num_bytes"], dtype=np.int64),
                np.array(data["header_bytes"], dtype=np.int64),
                {name: np.array(v, dtype=np.float64) for name, v in data["fidelity"].items()},
                {name: _judged(name, text) for name, text in data["matches"].items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MeasurementError(
                f"damaged per-picture data of an R-P point: {error!r}"
            ) from error
        lengths = {len(found.num_pixels), len(found.num_bytes), len(found.header_bytes)}
        lengths |= {len(values) for values in found.fidelity.values()}
        lengths |= {one.num_units for one in found.matches.values()}
        if len(lengths) != 1:
            raise MeasurementError(f"an R-P point tells of {sorted(lengths)} pictures at once")
        return found


@dataclass(frozen=True)
class RPPoint:
    """One point of an R-P curve.

    Attributes:
        quality: Quality level of a learned codec, QP of an anchor.
        bpp: Bits per pixel: 8 x bytes of the file that would be sent / native pixels.
        bpp_estimated: The same by the entropy model's likelihoods; None where there is no model.
        metrics: Scores by name, higher is better: mAP in percent 0..100, PSNR in dB.
        pictures: The same by picture, where it was stored.
    """

    quality: float
    bpp: float
    bpp_estimated: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    pictures: Pictures | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON; NaN becomes None."""
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "pictures"}
        told["metrics"] = finite(self.metrics)
        return told | ({"pictures": self.pictures.to_dict()} if self.pictures else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RPPoint:
        """The inverse of `to_dict`.

        Raises:
            MeasurementError: A key is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise MeasurementError(f"an R-P point has the keys {sorted(known)}, not {unknown}")
        if missing := sorted(known - {"bpp_estimated", "pictures"} - set(data)):
            raise MeasurementError(f"an R-P point lacks the keys {missing}")
        kept = data.get("pictures")
        pictures = Pictures.from_dict(kept) if kept else None
        try:
            metrics = {
                str(name): np.nan if value is None else float(value)
                for name, value in data["metrics"].items()
            }
            quality, bpp = float(data["quality"]), float(data["bpp"])
        except (TypeError, ValueError, AttributeError) as error:
            raise MeasurementError(f"an R-P point has a figure that is none: {error}") from error
        own = {"quality": data["quality"] if quality.is_integer() else quality, "bpp": bpp}
        return cls(**{**data, **own, "metrics": metrics, "pictures": pictures})


class Curve(NamedTuple):
    """One metric of several points, by rising rate: float64 [N] bpp and float64 [N] scores."""

    rates: NDArray[np.float64]
    scores: NDArray[np.float64]


def sort_points(points: Sequence[RPPoint]) -> list[RPPoint]:
    """The points by rising real rate."""
    return sorted(points, key=lambda point: point.bpp)


def finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Scores with None in place of NaN, which JSON lacks."""
    return {name: value if np.isfinite(value) else None for name, value in metrics.items()}


def scored(points: Sequence[RPPoint], metric: str) -> list[RPPoint]:
    """The points by rising rate.

    Raises:
        MeasurementError: A point lacks the metric.
    """
    for point in points:
        if metric not in point.metrics:
            raise MeasurementError(
                f"the point at quality {point.quality:g} has no {metric!r}; "
                f"it has {sorted(point.metrics)}: measure it first or name one of these"
            )
    return sort_points(points)


def rp_curve(points: Sequence[RPPoint], metric: str) -> Curve:
    """Rates and scores of `metric`, by rising rate.

    Args:
        points: The points in any order.
        metric: A key of every point's `metrics`.

    Raises:
        MeasurementError: A point lacks the metric, a rate or score is not finite, a rate is not
            positive, or two points have the same rate.
    """
    ordered = scored(points, metric)
    rates = np.array([point.bpp for point in ordered], dtype=np.float64)
    scores = np.array([point.metrics[metric] for point in ordered], dtype=np.float64)
    if not np.all(np.isfinite(rates) & (rates > 0)):
        raise MeasurementError(f"rates must be finite and above 0 bpp, got {rates.tolist()}")
    if not np.all(np.isfinite(scores)):
        raise MeasurementError(f"{metric} must be finite, got {scores.tolist()}")
    if len(np.unique(rates)) < len(rates):
        raise MeasurementError(
            f"two points have the same rate: {rates.tolist()} bpp; keep one point per rate"
        )
    return Curve(rates, scores)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    if weights is None:
        weights = np.ones((1, len(values)))
    return weights[:, known] @ values[known] / weights[:, known].sum(axis=1)


def _judged(metric: str, text: str) -> Matches | Counts:
    counted = metric.rpartition("_")[2] in COUNTED
    return Counts.from_text(text) if counted else matches_of(metric).from_text(text)


def task_of(metric: str) -> str | None:
    """The task whose main score a metric is, one of :data:`MAIN_SCORES`."""
    name, _, kind = metric.rpartition("_")
    return name if kind in MAIN_SCORES else None


def metric_title(metric: str) -> str:
    """The metric's name for readers, with its unit if it is one of ours."""
    name, _, kind = metric.rpartition("_")
    return _TITLES.get(metric, f"{name} {kind} (%)" if kind in COUNTED else metric)
