"""Bjontegaard delta rate between two R-P curves, with checks of how far it can be trusted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import bjontegaard
import numpy as np
from scipy.interpolate import PchipInterpolator

from vcm_mt.curves.bootstrap import Bootstrap
from vcm_mt.curves.monotone import fitted, front, rises, taken
from vcm_mt.curves.rp import Curve, RPPoint, rp_curve
from vcm_mt.errors import MeasurementError

#: Fewest points per curve. Below them `bjontegaard` would quietly draw a straight line (Akima) or
#: fit an underdetermined cubic.
MIN_POINTS = {"pchip": 2, "akima": 3, "cubic": 4}
MONOTONE = ("front", "fit", "mpeg")
#: The name among a figure's methods of PCHIP over MPEG's fit of both curves.
MPEG = "MPEG"

#: Under this overlap a warning says that the number speaks for a small part of the curves.
THIN_OVERLAP = 0.5
#: Under so many points a warning says that the shape between them is a guess.
FEW_POINTS = 4
#: Fewest draws in percent that must give a figure for a bootstrap interval to be one.
ENOUGH_DRAWS = 95


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
        other_methods: Percent by each method, and MPEG's way; None where a curve has too few
            points for it.
        bd_metric: The other way round: average gain in score at equal rate, in the score's unit;
            None where the ranges of rates do not overlap.
        without_headers: Percent when bytes without picture content are not counted; None where
            a point's pictures are not known.
        bootstrap: 95 % interval over resampled pictures; None where they are not known.
        points: How many of the anchor's and of the test's points were used.
        monotone: How curves that do not rise were handled, see :func:`bd_rate`.
        dropped: The points left out because a cheaper point scores at least as well.
        warnings: What limits the figure, a sentence each.
    """

    value: float
    metric: str
    method: str
    overlap: float
    interval: tuple[float, float]
    leave_one_out: tuple[float, float] | None
    other_methods: dict[str, float | None]
    bd_metric: float | None = None
    without_headers: float | None = None
    bootstrap: tuple[float, float] | None = None
    points: tuple[int, int] = (0, 0)
    monotone: str | None = None
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        text = f"{self.value:+.2f} % ({self.metric}, {self.method}, overlap {self.overlap:.2f}"
        if self.bootstrap is not None:
            low, high = self.bootstrap
            text += f", 95 % of resampled sets {low:+.2f} .. {high:+.2f} %"
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
    monotone: str | None = None,
    bootstrap: Bootstrap | None = None,
) -> BDRate:
    """Bjontegaard delta rate of `test` against `anchor` (VCEG-M33, by the package `bjontegaard`).

    Rate is a function of score only on a curve that rises. A curve that does not is reduced to
    its Pareto front, and a warning names the points that were left out; or, as MPEG's evaluation
    does, to a rising fit, see :mod:`vcm_mt.curves.monotone`. MPEG's reports fit every curve,
    also those that rise, and interpolate the fit by PCHIP.

    Args:
        anchor: Points of the reference, any order; the two curves may differ in number.
        test: Points of the codec under test.
        metric: A key of every point's `metrics`; higher must be better.
        method: 'pchip', 'akima' or 'cubic', which need 2, 3 and 4 points per curve.
        monotone: For curves that do not rise: 'front' says that the Pareto front is wanted (no
            warning then), 'fit' takes MPEG's fit, 'mpeg' the fit of every curve.
        bootstrap: Gives the interval over resampled pictures, where all points know theirs.

    Raises:
        MeasurementError: The method is unknown; a curve has too few points; a rate or score can't
            be used (see `rp_curve`); the score ranges do not overlap.
    """
    if method not in MIN_POINTS:
        raise MeasurementError(f"unknown method {method!r}; choose one of {sorted(MIN_POINTS)}")
    if monotone not in (None, *MONOTONE):
        raise MeasurementError(f"unknown handling {monotone!r}; choose one of {MONOTONE}")
    first, dropped_first = _used("anchor", rp_curve(anchor, metric), method, monotone)
    second, dropped_second = _used("test", rp_curve(test, metric), method, monotone)
    interval = _shared_scores(first, second)
    if interval is None:
        raise MeasurementError(
            f"the curves share no range of {metric}: anchor {_span(first)}, "
            f"test {_span(second)}; add qualities until they overlap"
        )
    union = float(np.ptp(np.concatenate([first.scores, second.scores])))
    result = BDRate(
        value=_percent(first, second, method),
        metric=metric,
        method=method,
        overlap=(interval[1] - interval[0]) / union,
        interval=interval,
        leave_one_out=_leave_one_out(first, second, method),
        other_methods={name: _percent_or_none(first, second, name) for name in MIN_POINTS}
        | {MPEG: _mpeg(rp_curve(anchor, metric), rp_curve(test, metric))},
        bd_metric=_bd_metric(first, second, method),
        without_headers=_without_headers(anchor, test, metric, method, monotone),
        bootstrap=_interval(anchor, test, metric, method, monotone, bootstrap),
        points=(len(first.rates), len(second.rates)),
        monotone=monotone,
        dropped=dropped_first + dropped_second,
    )
    told = tuple(_remarks(result, first, second, quiet=monotone == "front"))
    for remark in told:
        warnings.warn(remark, stacklevel=2)
    return replace(result, warnings=told)


def _used(
    name: str, curve: Curve, method: str, monotone: str | None
) -> tuple[Curve, tuple[str, ...]]:
    """The rising curve that is used in place of this one, and the points left out of it."""
    used = _rising(curve, monotone)
    if len(used.rates) < MIN_POINTS[method]:
        raise MeasurementError(
            f"{method} needs at least {MIN_POINTS[method]} points per curve whose score rises with "
            f"the rate; the {name} curve has {len(used.rates)} of {len(curve.rates)}: measure more "
            "qualities"
        )
    kept = monotone in ("fit", "mpeg")
    rest = Curve(np.empty(0), np.empty(0)) if kept else front(curve).rest
    return used, tuple(
        f"{name} {rate:.4g} bpp -> {score:.4g}" for rate, score in zip(*rest, strict=True)
    )


def _rising(curve: Curve, monotone: str | None) -> Curve:
    if monotone == "mpeg" or (monotone == "fit" and not rises(curve)):
        return fitted(curve)
    return front(curve).curve


def _mpeg(anchor: Curve, test: Curve) -> float | None:
    """The figure of MPEG's reports; None where a curve has no rising fit, or none is shared."""
    try:
        first, second = fitted(anchor), fitted(test)
    except MeasurementError:
        return None
    return _percent(first, second, "pchip") if _shared_scores(first, second) else None


def _remarks(rate: BDRate, anchor: Curve, test: Curve, quiet: bool) -> list[str]:
    told = []
    if rate.dropped and not quiet:
        told.append(
            f"{rate.metric} does not rise with the rate; left out (cheaper points score at least "
            f"as well): {'; '.join(rate.dropped)}. monotone='front' accepts this, 'fit' takes "
            "MPEG's rising fit instead."
        )
    if rate.overlap < THIN_OVERLAP:
        low, high = rate.interval
        told.append(
            f"the curves share only {rate.overlap:.0%} of their {rate.metric} range, "
            f"{low:.2f} .. {high:.2f}: the BD-rate speaks for that part alone"
        )
    if min(rate.points) < FEW_POINTS:
        told.append(
            f"a curve of {min(rate.points)} points: what lies between them is a guess; "
            f"measure {FEW_POINTS} or more"
        )
    if crossing := _crossing(anchor, test, rate.interval):
        told.append(
            f"the curves cross near a {rate.metric} of {crossing:.4g}: the BD-rate averages a "
            "gain on one side with a loss on the other"
        )
    return told


def _crossing(anchor: Curve, test: Curve, interval: tuple[float, float]) -> float | None:
    """The lowest score at which the curves cross; None where they do not."""
    scores = np.linspace(*interval, 201)
    gap = PchipInterpolator(test.scores, np.log(test.rates))(scores)
    gap -= PchipInterpolator(anchor.scores, np.log(anchor.rates))(scores)
    side = np.sign(gap[np.abs(gap) > 1e-6])
    if not np.any(np.diff(side)):
        return None
    return float(scores[np.abs(gap) > 1e-6][np.flatnonzero(np.diff(side))[0]])


def _bd_metric(anchor: Curve, test: Curve, method: str) -> float | None:
    if max(anchor.rates[0], test.rates[0]) >= min(anchor.rates[-1], test.rates[-1]):
        return None
    return float(
        bjontegaard.bd_psnr(
            anchor.rates,
            anchor.scores,
            test.rates,
            test.scores,
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
    )


def _without_headers(
    anchor: Sequence[RPPoint],
    test: Sequence[RPPoint],
    metric: str,
    method: str,
    monotone: str | None,
) -> float | None:
    if any(point.pictures is None for point in (*anchor, *test)):
        return None
    bare = [
        [replace(p, bpp=float(p.pictures.bpp(headers=False)[0])) for p in points if p.pictures]
        for points in (anchor, test)
    ]
    try:
        first, second = (_rising(rp_curve(points, metric), monotone) for points in bare)
    except MeasurementError:  # rates that are equal, or nothing, without headers
        return None
    if _shared_scores(first, second) is None:
        return None
    return _percent_or_none(first, second, method)


def _interval(
    anchor: Sequence[RPPoint],
    test: Sequence[RPPoint],
    metric: str,
    method: str,
    monotone: str | None,
    bootstrap: Bootstrap | None,
) -> tuple[float, float] | None:
    """The 2.5 and 97.5 percentiles of the BD-rates over the draws."""
    if bootstrap is None or not all(
        point.pictures and point.pictures.knows(metric) for point in (*anchor, *test)
    ):
        return None
    found = []
    for pair in zip(
        bootstrap.curves(list(anchor), metric), bootstrap.curves(list(test), metric), strict=True
    ):
        try:
            first, second = (_rising(curve, monotone) for curve in pair)
        except MeasurementError:
            continue  # this draw has no rising fit
        if _shared_scores(first, second) is not None:
            percent = _percent_or_none(first, second, method)
            found += [] if percent is None else [percent]
    if 100 * len(found) < ENOUGH_DRAWS * len(bootstrap.weights):
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


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
    """Smallest and largest BD-rate with one point left out, where 3 or more remain."""
    needed = max(3, MIN_POINTS[method])
    pairs = [(rest, test) for rest in _without_one(anchor, needed)]
    pairs += [(anchor, rest) for rest in _without_one(test, needed)]
    values = [_percent(a, t, method) for a, t in pairs if _shared_scores(a, t) is not None]
    return (min(values), max(values)) if values else None


def _without_one(curve: Curve, needed: int) -> list[Curve]:
    count = len(curve.rates)
    if count - 1 < needed:
        return []
    return [taken(curve, np.arange(count) != index) for index in range(count)]


def _shared_scores(anchor: Curve, test: Curve) -> tuple[float, float] | None:
    if not (len(anchor.scores) and len(test.scores)):
        return None
    low = float(max(anchor.scores[0], test.scores[0]))
    high = float(min(anchor.scores[-1], test.scores[-1]))
    return (low, high) if low < high else None


def _span(curve: Curve) -> str:
    return f"{curve.scores[0]:.2f} .. {curve.scores[-1]:.2f}"
