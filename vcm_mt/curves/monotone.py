"""Reduce curves to rising ones, as rate is a function of score only there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from vcm_mt.curves.rp import Curve
from vcm_mt.errors import MeasurementError

#: Fewest points for a cubic fit to say more than the points themselves.
MIN_FIT_POINTS = 4


class Front(NamedTuple):
    """The points that score better than every cheaper one, and those left out."""

    curve: Curve
    rest: Curve


def rises(curve: Curve) -> bool:
    """Whether every point scores better than the one before it, by rising rate."""
    return bool(np.all(np.diff(curve.scores) > 0))


def front(curve: Curve) -> Front:
    """The Pareto front: a point is left out if some cheaper point scores at least as well."""
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(curve.scores)[:-1]])
    keep = curve.scores > best_before
    return Front(taken(curve, keep), taken(curve, ~keep))


def fitted(curve: Curve) -> Curve:
    """Scores from a rising, concave cubic in log10(rate), fitted by least squares.

    The handling in MPEG's evaluation of coding for machines: H. Wang et al., "Improvements of the
    BD-rate metrics using monotonic curve-fitting methods", PCS 2024 (MPEG m63692). There as here,
    it is meant for curves that do not rise by themselves. Slope and curvature are bound at the
    measured rates, and the ends to scores in [0, max(100, best score)].

    Raises:
        MeasurementError: For fewer than 4 points, or when the fit does not rise strictly.
    """
    if len(curve.rates) < MIN_FIT_POINTS:
        raise MeasurementError(
            f"a monotone fit needs {MIN_FIT_POINTS} points or more, not {len(curve.rates)}"
        )
    raw = np.log10(curve.rates)
    x = (raw - raw.mean()) / raw.std()  # the same cubics, a better conditioned problem
    powers = np.vander(x, 4)
    slopes = np.stack([3 * x**2, 2 * x, np.ones_like(x), np.zeros_like(x)], axis=1)
    bends = np.stack([6 * x, np.full_like(x, 2), np.zeros_like(x), np.zeros_like(x)], axis=1)
    limits = np.concatenate([slopes, -bends, powers[:1], -powers[-1:]])
    room = np.zeros(len(limits))
    room[-1] = max(100.0, curve.scores.max())
    start = np.array([0, 0, *np.polyfit(x, curve.scores, 1)])
    found = minimize(
        lambda b: np.sum((powers @ b - curve.scores) ** 2),
        start,
        jac=lambda b: 2 * powers.T @ (powers @ b - curve.scores),
        constraints={"type": "ineq", "fun": lambda b: limits @ b + room, "jac": lambda _: limits},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    fit = Curve(curve.rates, powers @ found.x)
    if not (found.success and rises(fit)):
        raise MeasurementError(
            f"no rising cubic fits the scores {curve.scores.tolist()}: measure more qualities"
        )
    return fit


def taken(curve: Curve, keep: NDArray[np.bool_]) -> Curve:
    """The chosen points of a curve."""
    return Curve(curve.rates[keep], curve.scores[keep])
