"""R-P curves as figures for papers: bits per pixel against the score of a task."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vcm_mt.curves.bd_rate import BDRate
from vcm_mt.curves.rp import RPPoint, metric_title, scored
from vcm_mt.errors import MeasurementError

# Dark grey for the anchor, then Okabe and Ito's palette, which colour-blind readers tell apart.
COLOURS = ("#444444", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("s", "o", "^", "D", "v", "P", "X")
STYLE: Any = {  # matplotlib 3.11 types the keys, older ones take str
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 10,
    "text.usetex": False,
}
#: For names that people gave: two dollar signs are no formula.
_LITERAL: Any = {"parse_math": False}


def plot_rp_curves(
    curves: Mapping[str, Sequence[RPPoint]],
    metric: str,
    path: str | os.PathLike[str],
    reference: float | None = None,
    title: str | None = None,
    bd_rates: Mapping[str, BDRate] | None = None,
    log_rate: bool = True,
) -> Path:
    """Draw one metric of several curves and save the picture.

    Args:
        curves: Points by the curve's name; the anchor first, which is drawn in grey.
        metric: A key of every point's `metrics`.
        path: Where to save; the suffix chooses the format (.png, .svg, .pdf).
        reference: The score on the uncompressed originals, a dotted line.
        title: Above the axes.
        bd_rates: BD-rates by curve name, shown in the legend.
        log_rate: Logarithmic bpp axis, as BD-rate sees it: equal steps are equal factors.

    Returns:
        `path`; its folder is made if it is missing.

    Raises:
        MeasurementError: No curves or too many to tell apart, a BD-rate of an unknown curve or
            another metric, or a point without the metric.
    """
    bd_rates = bd_rates or {}
    _check_names(curves, metric, bd_rates)
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.8), layout="constrained")
        axes = figure.add_subplot()
        lines = _draw_curves(axes, curves, metric)
        _dress(axes, metric, title, log_rate)
        if reference is not None and math.isfinite(reference):
            _draw_reference(axes, reference)
        _draw_legend(axes, lines, list(curves), bd_rates)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    return path


def _draw_curves(axes: Axes, curves: Mapping[str, Sequence[RPPoint]], metric: str) -> list[Line2D]:
    lines = []
    for points, colour, marker in zip(curves.values(), COLOURS, MARKERS, strict=False):
        drawn = scored(points, metric)
        lines += axes.plot(
            [point.bpp for point in drawn],
            [point.metrics[metric] for point in drawn],
            color=colour,
            marker=marker,
            markersize=7,
            markeredgecolor="white",
            linewidth=2,
        )
    return lines


def _draw_legend(
    axes: Axes, lines: Sequence[Line2D], names: Sequence[str], bd_rates: Mapping[str, BDRate]
) -> None:
    """Draw a legend of the curves' names, with their BD-rates in brackets."""
    legend = axes.legend(
        lines,
        map(str, range(len(lines))),  # a name that begins with _ would be left out
        loc="lower right",
        title="BD-rate in brackets" if bd_rates else None,
        alignment="left",
        title_fontsize=10,
        frameon=True,
        framealpha=0.9,
        edgecolor="none",
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        rate = f" ({_signed(bd_rates[name].value)} %)" if name in bd_rates else ""
        text.set(text=name + rate, **_LITERAL)


def _check_names(
    curves: Mapping[str, Sequence[RPPoint]], metric: str, bd_rates: Mapping[str, BDRate]
) -> None:
    if not 1 <= len(curves) <= len(COLOURS):
        raise MeasurementError(f"draw 1 to {len(COLOURS)} curves in one plot, got {len(curves)}")
    for name, figure in bd_rates.items():
        if name not in curves:
            raise MeasurementError(f"BD-rate of {name!r}, but the curves are {list(curves)}")
        if figure.metric != metric:
            raise MeasurementError(f"the BD-rate of {name!r} is in {figure.metric}, not {metric}")


def _dress(axes: Axes, metric: str, title: str | None, log_rate: bool) -> None:
    """Set up axes, ticks and grid, after the curves, which decide the limits."""
    if log_rate:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel("bits per pixel" + (" (log scale)" if log_rate else ""))
    axes.set_ylabel(metric_title(metric), **_LITERAL)
    if title is not None:
        axes.set_title(title, loc="left", pad=10, **_LITERAL)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_reference(axes: Axes, reference: float) -> None:
    axes.axhline(reference, color="#777777", linestyle=":", linewidth=1.6)
    low, high = axes.get_ylim()
    axes.set_ylim(top=max(high, reference + 0.08 * (high - low)))  # room for the label above it
    axes.annotate(
        f"uncompressed: {reference:.1f}",
        xy=(0.01, reference),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color="#555555",
    )


def _signed(percent: float) -> str:
    return f"{percent:+.1f}".replace("-", "\N{MINUS SIGN}")
