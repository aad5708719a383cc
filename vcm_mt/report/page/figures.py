"""R-P curves as Plotly figures: plain values that plotly.js draws in the page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import plotly.graph_objects as go

from vcm_mt.curves.rp import RPPoint, metric_title, sort_points
from vcm_mt.report import plot
from vcm_mt.report.page.data import ReportCurve

#: The printed figures' colours and two more, as a page shows more curves at once.
COLOURS = (*plot.COLOURS, "#7F5AA8", "#8A6A2F")
#: The same hues for a dark page.
DARK_COLOURS = (
    *("#C3C9D1", "#4AA8E8", "#F5843C", "#22C596", "#E59CC6", "#F2BB45", "#93D3F7"),
    *("#B79AE0", "#C9A45C"),
)
SYMBOLS = ("square", "circle", "triangle-up", "diamond", "triangle-down", "cross", "x")
DASHES = {"ours": "solid", "anchor": "dash", "learned": "dashdot"}
_TICKS = [digit * 10.0**power for power in range(-4, 2) for digit in (1, 2, 5)]


class CurveStyle(NamedTuple):
    """How a curve is drawn: an index into the colours, Plotly's names of a symbol and a dash."""

    colour: int
    symbol: str
    dash: str


def curve_styles(curves: Sequence[ReportCurve]) -> list[CurveStyle]:
    """A style for each curve; the first anchor is grey as in printed figures.

    Colours come back after all have been used; curves that are visible at first take theirs first.
    """
    main = next((curve for curve in curves if curve.role == "anchor"), None)
    others = [curve for curve in curves if curve is not main]
    others.sort(key=lambda curve: (not curve.visible, curve.role != "ours"))
    number = {curve.name: index for index, curve in enumerate(others)}
    styles = []
    for curve in curves:
        if curve is main:
            styles.append(CurveStyle(0, SYMBOLS[0], "solid"))
        else:
            turn, index = divmod(number[curve.name], len(COLOURS) - 1)
            symbol = SYMBOLS[(1 + index + turn) % len(SYMBOLS)]
            styles.append(CurveStyle(1 + index, symbol, DASHES[curve.role]))
    return styles


def rp_figure(
    curves: Sequence[ReportCurve], metric: str, original: float | None = None
) -> dict[str, Any]:
    """One metric of all curves that have it.

    Args:
        curves: All curves of the report; a trace's `meta` is its curve's place among them.
        metric: A key of the points' `metrics`.
        original: The score on the uncompressed pictures, a dotted line.

    Returns:
        ``data`` and ``layout`` as plotly.js takes them, and ``scales``, the x axis of each kind.
    """
    styles = curve_styles(curves)
    traces = [
        _trace(index, curve, styles[index], metric)
        for index, curve in enumerate(curves)
        if _measured(curve, metric)
    ]
    figure = go.Figure(traces, _layout(metric, original))
    ticks = {"tickmode": "array", "tickvals": _TICKS, "ticktext": [f"{t:g}" for t in _TICKS]}
    scales = {
        "log": {"type": "log", **ticks},
        "linear": {"type": "linear", "tickmode": "auto", "rangemode": "tozero"},
    }
    return {**json.loads(figure.to_json()), "scales": scales}


def _measured(curve: ReportCurve, metric: str) -> list[RPPoint]:
    return [p for p in sort_points(curve.points) if math.isfinite(p.metrics.get(metric, math.nan))]


def _trace(index: int, curve: ReportCurve, style: CurveStyle, metric: str) -> go.Scatter:
    points = _measured(curve, metric)
    name = escape(curve.title, quote=False)  # plotly.js reads a few tags and entities in text
    quality_name = escape(curve.quality_name, quote=False)
    told = [
        [
            name,
            f"{quality_name} {point.quality:g}",
            "" if point.bpp_estimated is None else f" (estimated {point.bpp_estimated:.4f})",
        ]
        for point in points
    ]
    return go.Scatter(
        x=[point.bpp for point in points],
        y=[point.metrics[metric] for point in points],
        customdata=told,
        name=name,
        meta=index,
        mode="lines+markers",
        line={"color": COLOURS[style.colour], "width": 2.5, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 10, "line": {"width": 1}},
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>"
        f"%{{x:.4f}} bpp%{{customdata[2]}}<br>{_value(metric)}<extra></extra>",
    )


def _value(metric: str) -> str:
    """The score in a hover label."""
    digits = ".4f" if metric == "ms_ssim" else ".2f"
    return f"%{{y:{digits}}} " + escape(metric_title(metric), quote=False).replace("%{", "% {")


def _layout(metric: str, original: float | None) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "template": "none",
        "showlegend": False,
        "hovermode": "closest",
        "margin": {"l": 56, "r": 14, "t": 14, "b": 54},
        "xaxis": {"title": {"text": "bits per pixel", "standoff": 8}, "zeroline": False},
        "yaxis": {
            "title": {"text": escape(metric_title(metric), quote=False), "standoff": 8},
            "zeroline": False,
            "automargin": True,
        },
    }
    if original is not None:
        line = {"dash": "dot", "width": 1.6}
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": original, "y1": original}
            | {"line": line, "layer": "below"}
        ]
        layout["annotations"] = [
            {
                "text": f"uncompressed: {original:.1f}",
                "xref": "paper",
                "x": 0,
                "y": original,
                "xanchor": "left",
                "xshift": 5,
                "yanchor": "bottom",
                "showarrow": False,
            }
        ]
    return layout
