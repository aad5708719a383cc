"""Rate-performance points: what one codec at one quality costs, and what a task still scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import MeasurementError

_TITLES = {
    "det_mAP": "detection mAP (%)",
    "segm_mAP": "segmentation mAP (%)",
    "psnr": "PSNR (dB)",
    "ms_ssim": "MS-SSIM",
}


@dataclass(frozen=True)
class RPPoint:
    """One point of an R-P curve.

    Attributes:
        quality: Quality level of a learned codec, QP of an anchor.
        bpp: Bits per pixel: 8 x bytes of the file that would be sent / native pixels.
        bpp_estimated: The same by the entropy model's likelihoods; None where there is no model.
        metrics: Scores by name, higher is better: mAP in percent 0..100, PSNR in dB.
    """

    quality: float
    bpp: float
    bpp_estimated: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The point as plain values for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "metrics": dict(self.metrics)
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RPPoint:
        """The inverse of `to_dict`.

        Raises:
            MeasurementError: A key is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise MeasurementError(f"an R-P point has the keys {sorted(known)}, not {unknown}")
        if missing := sorted(known - {"bpp_estimated"} - set(data)):
            raise MeasurementError(f"an R-P point lacks the keys {missing}")
        return cls(**{**data, "metrics": dict(data["metrics"])})


class Curve(NamedTuple):
    """One metric of several points, by rising rate: float64 [N] bpp and float64 [N] scores."""

    rates: NDArray[np.float64]
    scores: NDArray[np.float64]


def sort_points(points: Sequence[RPPoint]) -> list[RPPoint]:
    """The points by rising real rate."""
    return sorted(points, key=lambda point: point.bpp)


def rp_curve(points: Sequence[RPPoint], metric: str) -> Curve:
    """Rates and scores of `metric`, by rising rate.

    Args:
        points: The points in any order.
        metric: A key of every point's `metrics`.

    Raises:
        MeasurementError: A point lacks the metric, a rate or score is not finite, a rate is not
            positive, or two points have the same rate.
    """
    for point in points:
        if metric not in point.metrics:
            raise MeasurementError(
                f"the point at quality {point.quality:g} has no {metric!r}; "
                f"it has {sorted(point.metrics)}: measure it first or name one of these"
            )
    ordered = sort_points(points)
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


def metric_title(metric: str) -> str:
    """The metric's name for a reader, with its unit where it is a known one."""
    return _TITLES.get(metric, metric)
