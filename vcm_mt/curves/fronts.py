"""The best points of several curves as a curve of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vcm_mt.curves.rp import RPPoint, scored
from vcm_mt.curves.rp_file import ANCHOR, RPCurve


def front_points(points: Sequence[RPPoint], metric: str) -> list[RPPoint]:
    """The Pareto front of points, which may be of several curves, by rising rate.

    Raises:
        MeasurementError: A point lacks the metric.
    """
    best, kept = -np.inf, []
    for point in sorted(scored(points, metric), key=lambda one: (one.bpp, -one.metrics[metric])):
        if point.metrics[metric] > best:
            best = point.metrics[metric]
            kept.append(point)
    return kept


def front_curve(curves: Mapping[str, RPCurve], names: Sequence[str], metric: str) -> RPCurve:
    """The Pareto front of several anchors, an anchor itself.

    Args:
        curves: Curves by name.
        names: Those that it is made of.
        metric: Score by which a point is on the front.

    Raises:
        MeasurementError: A point lacks the metric.
    """
    title = "best of " + ", ".join(names)
    points = [point for name in names for point in curves[name].points]
    about = {"role": ANCHOR, "name": title, "metric": metric}
    return RPCurve(front_points(points, metric), title, about)
