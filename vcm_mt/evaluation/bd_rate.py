"""Bjontegaard delta rate between two R-P curves, with what a reader needs to trust it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import bjontegaard
import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import MeasurementError
from vcm_mt.evaluation.rp import Curve, RPPoint, rp_curve

#: Fewest points per curve. Below them `bjontegaard` would quietly draw a straight line (Akima) or
#: fit an underdetermined cubic.
MIN_POINTS = {"pchip": 2, "akima": 3, "cubic": 4}

#: Under this overlap a warning says that the number speaks for a small part of the curves.
THIN_OVERLAP = 0.5


@dataclass(frozen=True)
class BDRate:
    """Average difference in rate at equal score.

    Attributes:
        value: Percent; negative where the test curve saves bits.
        metric: The score that is held equal.
        method: How log10(rate) is interpolated over the score: pchip, akima or cubic.
        overlap: Shared score range / union of both score ranges, 0..1 (`bjontegaard`'s definition).
        interval: The shared score range, lowest and highest score; nothing is extrapolated.
        leave_one_out: Smallest and largest value when any single point of either curve is left
            out; None where every curve that is left would have too few points.
        other_methods: Percent by each method; None where a curve has too few points for it.
        dropped: The points left out because a cheaper point scores at least as well.
    """

    value: float
    metric: str
    method: str
    overlap: float
    interval: tuple[float, float]
    leave_one_out: tuple[float, float] | None
    other_methods: dict[str, float | None]
    dropped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        text = f"{self.value:+.2f} % ({self.metric}, {self.method}, overlap {self.overlap:.2f}"
        if self.leave_one_out is not None:
            low, high = self.leave_one_out
            text += f", leave-one-out {low:+.2f} .. {high:+.2f} %"
        return text + ")"


def bd_rate(
    anchor: Sequence[RPPoint],
    test: Sequence[RPPoint],
    metric: str,
    method: str = "pchip",
    *,
    monotone: bool = False,
) -> BDRate:
    """Bjontegaard delta rate of `test` against `anchor` (VCEG-M33, by the package `bjontegaard`).

    Rate is a function of score only on a curve that rises. A curve that does not is reduced to
    its Pareto front: a point is dropped if some cheaper point scores at least as well, and a
    warning names it. (MPEG's group on coding for machines also has a proposal that fits a monotone
    cubic instead, m63692; the front is made of measured points alone.)

    Args:
        anchor: Points of the reference, any order; the two curves may differ in number.
        test: Points of the codec under test.
        metric: A key of every point's `metrics`; higher must be better.
        method: 'pchip', 'akima' or 'cubic', which need 2, 3 and 4 points per curve.
        monotone: True says that the Pareto front is wanted: no warning then.

    Raises:
        MeasurementError: The method is unknown; a curve has too few points; a rate or score can't
            be used (see `rp_curve`); the score ranges do not overlap.
    """
    if method not in MIN_POINTS:
        raise MeasurementError(f"unknown method {method!r}; choose one of {sorted(MIN_POINTS)}")
    fronts = (_front("anchor", anchor, metric, method), _front("test", test, metric, method))
    curves = (fronts[0].curve, fronts[1].curve)
    dropped = fronts[0].dropped + fronts[1].dropped
    interval = _shared_scores(*curves)
    if interval is None:
        raise MeasurementError(
            f"the curves share no range of {metric}: anchor {_span(curves[0])}, "
            f"test {_span(curves[1])}; add qualities until they overlap"
        )
    union = float(np.ptp(np.concatenate([curve.scores for curve in curves])))
    overlap = (interval[1] - interval[0]) / union
    if dropped and not monotone:
        warnings.warn(
            f"{metric} does not rise with the rate; left out (cheaper points score at least as "
            f"well): {'; '.join(dropped)}. monotone=True accepts this.",
            stacklevel=2,
        )
    if overlap < THIN_OVERLAP:
        warnings.warn(
            f"the curves share only {overlap:.0%} of their {metric} range, "
            f"{interval[0]:.2f} .. {interval[1]:.2f}: the BD-rate speaks for that part alone",
            stacklevel=2,
        )
    return BDRate(
        value=_percent(*curves, method),
        metric=metric,
        method=method,
        overlap=overlap,
        interval=interval,
        leave_one_out=_leave_one_out(*curves, method),
        other_methods={name: _percent_or_none(*curves, name) for name in MIN_POINTS},
        dropped=dropped,
    )


class _Front(NamedTuple):
    curve: Curve
    dropped: tuple[str, ...]


def _percent(anchor: Curve, test: Curve, method: str) -> float:
    return float(
        bjontegaard.bd_rate(
            anchor.rates,
            anchor.scores,
            test.rates,
            test.scores,
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
    )


def _percent_or_none(anchor: Curve, test: Curve, method: str) -> float | None:
    enough = min(len(anchor.rates), len(test.rates)) >= MIN_POINTS[method]
    return _percent(anchor, test, method) if enough else None


def _leave_one_out(anchor: Curve, test: Curve, method: str) -> tuple[float, float] | None:
    """Range of the BD-rate over all curves that lack one point and keep at least 3."""
    needed = max(3, MIN_POINTS[method])
    pairs = [(rest, test) for rest in _without_one(anchor, needed)]
    pairs += [(anchor, rest) for rest in _without_one(test, needed)]
    values = [_percent(a, t, method) for a, t in pairs if _shared_scores(a, t) is not None]
    return (min(values), max(values)) if values else None


def _without_one(curve: Curve, needed: int) -> list[Curve]:
    count = len(curve.rates)
    if count - 1 < needed:
        return []
    return [_take(curve, np.arange(count) != index) for index in range(count)]


def _front(name: str, points: Sequence[RPPoint], metric: str, method: str) -> _Front:
    """The points that score better than every cheaper one, checked to be enough."""
    curve = rp_curve(points, metric)
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(curve.scores)[:-1]])
    keep = curve.scores > best_before
    front, rest = _take(curve, keep), _take(curve, ~keep)
    if len(front.rates) < MIN_POINTS[method]:
        raise MeasurementError(
            f"{method} needs at least {MIN_POINTS[method]} points per curve whose score rises with "
            f"the rate; the {name} curve has {len(front.rates)} of {len(points)}: measure more "
            "qualities"
        )
    return _Front(
        front,
        tuple(f"{name} {rate:.4g} bpp -> {score:.4g}" for rate, score in zip(*rest, strict=True)),
    )


def _take(curve: Curve, keep: NDArray[np.bool_]) -> Curve:
    return Curve(curve.rates[keep], curve.scores[keep])


def _shared_scores(anchor: Curve, test: Curve) -> tuple[float, float] | None:
    low = float(max(anchor.scores[0], test.scores[0]))
    high = float(min(anchor.scores[-1], test.scores[-1]))
    return (low, high) if low < high else None


def _span(curve: Curve) -> str:
    return f"{curve.scores[0]:.2f} .. {curve.scores[-1]:.2f}"
