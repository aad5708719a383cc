"""BD-rates of many curves against many anchors."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

from vcm_mt.curves.bd_rate import BDRate, bd_rate
from vcm_mt.curves.bootstrap import Bootstrap
from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import MeasurementError

#: BD-rates by metric, curve and anchor.
Rates = dict[str, dict[str, dict[str, BDRate]]]


def bd_rates(
    curves: Mapping[str, Sequence[RPPoint]],
    anchors: Iterable[str],
    metrics: Iterable[str],
    bootstrap: Bootstrap | None = None,
    skip: Sequence[str] = (),
) -> tuple[Rates, list[str]]:
    """BD-rates of every curve, but those in ``skip``, against every anchor that has the metric.

    Returns:
        The rates, and for each pair without one a line with the reason.
    """
    found: Rates = {}
    refused = []
    anchors = list(anchors)
    for metric in metrics:
        for anchor in anchors:
            for name, points in curves.items():
                if (
                    name == anchor
                    or name in skip
                    or any(metric not in p.metrics for p in (*curves[anchor], *points))
                ):
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the result holds them
                    try:
                        rate = bd_rate(curves[anchor], points, metric, bootstrap=bootstrap)
                    except MeasurementError as error:
                        refused.append(f"no BD-rate of {name} against {anchor} ({metric}): {error}")
                        continue
                found.setdefault(metric, {}).setdefault(name, {})[anchor] = rate
    return found, refused
