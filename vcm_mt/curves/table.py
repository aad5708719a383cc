"""R-P points and BD-rates as Markdown tables that are also aligned as plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vcm_mt.curves.bd_rate import MIN_POINTS, MPEG, BDRate
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.curves.rp import RPPoint, metric_title, sort_points
from vcm_mt.errors import MeasurementError

ABSENT = "\N{EN DASH}"
_FORMATS = {"ms_ssim": ".4f"}


def rp_table_markdown(
    curves: Mapping[str, Sequence[RPPoint]],
    metrics: Sequence[str],
    bd_rates: Mapping[str, Sequence[BDRate]] | None = None,
) -> str:
    """Tables of the points of all curves and, below, of the BD-rates.

    Args:
        curves: Points by the curve's name.
        metrics: The columns; a point that lacks one shows a dash.
        bd_rates: For each curve name its BD-rates, one per metric.

    Returns:
        One or two Markdown tables, an empty line between them, and a newline at the end.

    Raises:
        MeasurementError: A BD-rate of a curve that is not among `curves`.
    """
    tables = [_points_table(curves, metrics)]
    if bd_rates:
        if unknown := [name for name in bd_rates if name not in curves]:
            raise MeasurementError(f"BD-rates of {unknown}, but the curves are {list(curves)}")
        tables.append(bd_table_markdown(bd_rates))
    return "\n".join(tables)


def _points_table(curves: Mapping[str, Sequence[RPPoint]], metrics: Sequence[str]) -> str:
    header = ["curve", "quality", "bpp", "bpp estimated", *map(metric_title, metrics)]
    rows = [
        [
            name,
            f"{point.quality:g}",
            f"{point.bpp:.4f}",
            number(point.bpp_estimated, ".4f"),
            *(number(point.metrics.get(metric), _FORMATS.get(metric, ".2f")) for metric in metrics),
        ]
        for name, points in curves.items()
        for point in sort_points(points)
    ]
    return markdown_table(header, rows)


def bd_table_markdown(bd_rates: Mapping[str, Sequence[BDRate]]) -> str:
    """BD-rates by the curve's name as a Markdown table, a newline at the end."""
    header = ["curve", "score", "BD-rate", "method", "overlap", "interval", "leave-one-out"]
    header += ["95 % of resampled sets", "without headers", "BD-metric"]
    header += [f"by {method}" for method in (*MIN_POINTS, MPEG)]
    rows = [
        [
            name,
            metric_title(bd.metric),
            _percent(bd.value),
            bd.method,
            f"{bd.overlap:.2f}",
            f"{bd.interval[0]:.2f} .. {bd.interval[1]:.2f}",
            _range(bd.leave_one_out),
            _range(bd.bootstrap),
            _percent(bd.without_headers),
            number(bd.bd_metric, "+.2f"),
            *(_percent(bd.other_methods.get(method)) for method in (*MIN_POINTS, MPEG)),
        ]
        for name, figures in bd_rates.items()
        for bd in figures
    ]
    return markdown_table(header, rows)


def number(value: float | None, form: str) -> str:
    """Format a figure, as by ".2f"; a dash for None and NaN."""
    return ABSENT if value is None or math.isnan(value) else format(value, form)


def _range(ends: tuple[float, float] | None) -> str:
    return ABSENT if ends is None else " .. ".join(map(_percent, ends))


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+.2f} %"
