"""The page: one HTML file that needs no network, filled from a report."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
from plotly.offline import get_plotlyjs

from vcm_mt.curves.rp import metric_title, sort_points
from vcm_mt.files import write_atomically
from vcm_mt.report.page.data import ROLES, Matrix, RateRow, Report, ReportCurve
from vcm_mt.report.page.figures import COLOURS, DARK_COLOURS, curve_styles, rp_figure
from vcm_mt.report.page.films import FILM_QUALITY, film_data
from vcm_mt.report.page.pictures import WEBP_QUALITY, browser_data

ABSENT = "\N{EN DASH}"
#: In the order in which they apply.
STYLES = ("style.css", "pictures.css", "films.css", "screens.css")
#: In the order in which they run, after plotly.js.
SCRIPTS = ("app.js", "curves.js", "rates.js", "pictures.js", "films.js")
_FILES = files(__package__)


def write_page(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the report as one HTML file, with plotly.js and all pictures in it.

    Args:
        report: What to show.
        path: Where to; its folder is made if it is missing.

    Returns:
        `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, [render(report).encode(errors="replace")])
    return path


def render(report: Report) -> str:
    """The page's HTML."""
    scripts = [get_plotlyjs(), *map(_read, SCRIPTS)]
    metrics = report.metrics
    figures = [rp_figure(report.curves, m, report.originals.get(m)) for m in metrics]
    return (
        _environment()
        .from_string(_read("template.html"))
        .render(
            report=report,
            style="\n".join(map(_read, STYLES)),
            scripts=scripts,
            policy=_policy(scripts),
            data={
                "figures": figures,
                "browser": browser_data(report),
                "player": film_data(report),
            },
            colours=list(zip(COLOURS, DARK_COLOURS, strict=True)),
            metrics=metrics,
            headline=headline(report),
            curves=[
                {"index": index, "curve": curve, "style": style}
                for index, (curve, style) in enumerate(
                    zip(report.curves, curve_styles(report.curves), strict=True)
                )
            ],
            roles=ROLES,
            rate_anchors=list(dict.fromkeys(row.anchor for row in report.rates)),
            rate_metrics=list(dict.fromkeys(row.bd.metric for row in report.rates)),
            matrices=[_shaded(matrix) for matrix in report.matrices],
            webp_quality=WEBP_QUALITY,
            film_quality=FILM_QUALITY,
        )
    )


def headline(report: Report) -> list[RateRow]:
    """Per task, the best BD-rate of our curves against the first anchor."""
    anchor = _main_anchor(report)
    if anchor is None:
        return []
    rows = [
        row
        for row in report.rates
        if row.anchor == anchor.name and report.curve(row.curve).role == "ours"
    ]
    return [
        min((row for row in rows if row.bd.metric == metric), key=lambda row: row.bd.value)
        for metric in report.originals
        if any(row.bd.metric == metric for row in rows)
    ]


class Cell(NamedTuple):
    """A value of a matrix, how strongly it is shaded (0 to 1), and if it is its column's best."""

    value: float | None
    shade: float
    best: bool


def _shaded(matrix: Matrix) -> tuple[Matrix, list[list[Cell]]]:
    known = [value for row in matrix.values for value in row if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    choose = min if matrix.lower_is_better else max
    columns = zip(*matrix.values, strict=True)
    best = [choose((v for v in column if v is not None), default=None) for column in columns]

    def cell(value: float | None, top: float | None) -> Cell:
        if value is None:
            return Cell(None, 0.0, False)
        shade = (value - low) / (high - low) if high > low else 0.5
        return Cell(value, 1 - shade if matrix.lower_is_better else shade, value == top)

    return matrix, [
        [cell(value, top) for value, top in zip(row, best, strict=True)] for row in matrix.values
    ]


def _main_anchor(report: Report) -> ReportCurve | None:
    return next((curve for curve in report.curves if curve.role == "anchor"), None)


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: these scripts and nothing else, no request to anywhere."""
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    environment.filters |= {
        "metric_title": metric_title,
        "percent": _percent,
        "percents": _percents,
        "number": _number,
        "by_rate": sort_points,
    }
    return environment


def _number(value: float | None, form: str = ".2f") -> str:
    return ABSENT if value is None else format(value, form).replace("-", "\N{MINUS SIGN}")


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{_number(value, '+.1f')}\N{NO-BREAK SPACE}%"


def _percents(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return ABSENT
    low, high = (_number(value, "+.1f") for value in pair)
    return f"{low}\N{NO-BREAK SPACE}… {high}\N{NO-BREAK SPACE}%"
