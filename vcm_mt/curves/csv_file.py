"""Curves as CSV tables: ours, CompressAI-Vision's, or any with ``bpp`` and scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import MeasurementError

_FIXED = ("curve", "quality", "bpp", "bpp_estimated")
#: Added to a score whose file gives kbit/s in place of bits per pixel, so that it is compared only
#: with its like.
PER_KBPS = "@kbps"
_VISION_SCORE = "end_accuracy"
#: CompressAI-Vision's columns (``summary.csv``, ``final_*.csv``); all others are times and frames.
_VISION = {"dataset": "curve", "qp": "quality", "avg_bpp": "bpp", _VISION_SCORE: _VISION_SCORE}
_VISION_VIDEO = {"bitrate (kbps)": "bpp", _VISION_SCORE: _VISION_SCORE + PER_KBPS}


def to_csv(curves: Mapping[str, Sequence[RPPoint]]) -> str:
    """The points of all curves by name, one a line: curve, quality, rates, then the scores."""
    rows = [(name, point) for name, points in curves.items() for point in points]
    metrics = sorted({metric for _, point in rows for metric in point.metrics})
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*_FIXED, *metrics])
    for name, point in rows:
        scores = [point.metrics.get(metric, "") for metric in metrics]
        table.writerow([name, point.quality, point.bpp, point.bpp_estimated, *scores])
    return text.getvalue()


def read_csv(path: Path) -> dict[str, list[RPPoint]]:
    """Curves of a table with a header line.

    Columns are ``bpp``, optionally ``curve``, ``quality`` and ``bpp_estimated``, and any number of
    scores; separated by commas, or by semicolons or tabs with decimal commas. CompressAI-Vision's
    ``Dataset``, ``qp``, ``avg_bpp`` and ``end_accuracy`` are read as well. Its tables for video
    have kbit/s, for which the score is called ``end_accuracy@kbps``.

    Raises:
        MeasurementError: When it is no such table; the message names the line.
    """
    lines = _lines(path)
    header = lines[0] if lines else ""
    separator = next((mark for mark in ";\t" if mark in header), ",")
    table = csv.reader(lines, delimiter=separator)
    names = _columns(next(table, []))
    if "bpp" not in names:
        raise MeasurementError(f"{path} needs a header line with `bpp` and the scores' names")
    curves: dict[str, list[RPPoint]] = {}
    for cells in filter(any, table):
        try:
            row = _row(names, cells)
            points = curves.setdefault(row.pop("curve", "") or path.stem, [])
            points.append(_point(row, len(points) + 1, separator))
        except ValueError as error:
            raise MeasurementError(f"{path}, line {table.line_num}: {error}") from error
    if not curves:
        raise MeasurementError(f"{path} has no points below its header line")
    return curves


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()  # some write a byte order mark
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{path} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise MeasurementError(f"{path} can't be read: {error.strerror}") from error


def _columns(header: Sequence[str]) -> list[str]:
    """What each column holds; empty for one that is not read."""
    names = [name.strip() for name in header]
    if _VISION_SCORE in names:
        known = {**_VISION, **(_VISION_VIDEO if "bitrate (kbps)" in names else {})}
        return [known.get(name.lower(), "") for name in names]
    return [name.lower() if name.lower() in _FIXED else name for name in names]


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) > len(names):
        raise ValueError(f"{len(cells)} values under {len(names)} names")
    pairs = zip(names, map(str.strip, cells), strict=False)
    return {name: cell for name, cell in pairs if name}


def _point(row: Mapping[str, str], number: int, separator: str) -> RPPoint:
    figures = {name: _figure(name, text, separator) for name, text in row.items() if text}
    if "bpp" not in figures:
        raise ValueError("no bpp")
    quality, bpp = figures.pop("quality", float(number)), figures.pop("bpp")
    return RPPoint(quality, bpp, figures.pop("bpp_estimated", None), figures)


def _figure(name: str, text: str, separator: str) -> float:
    try:  # where commas do not separate, they are decimal ones
        return float(text if separator == "," else text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{name} is {text!r}, which is no number") from None
