"""Curves on disk: ``rp_points.json`` with all that is known of each point, or a CSV table.

``docs/measurement.md`` has the layout.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcm_mt.curves.rp import RPPoint, finite, sort_points
from vcm_mt.errors import MeasurementError
from vcm_mt.files import write_atomically

FORMAT = "vcm_mt R-P points"
VERSION = 1
#: The paper's own tables, cited; they can be named in place of a file.
PAPER = "paper"
#: The role of a curve's codec.
ANCHOR, LEARNED, OURS = "anchor", "learned", "ours"
_PAPER_FILE = Path(__file__).with_name("paper_tables.json")
_FIXED = ("curve", "quality", "bpp", "bpp_estimated")


@dataclass(frozen=True)
class RPCurve:
    """One curve.

    Attributes:
        points: By rising rate.
        title: For readers; by default the curve's name.
        codec: What made it: name, version, options, fingerprints; plain values.
    """

    points: list[RPPoint]
    title: str = ""
    codec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RPFile:
    """What one experiment measured.

    Attributes:
        curves: By name.
        originals: Scores on the uncoded pictures, by metric.
        data: Which pictures and tasks: description, digests.
        made_with: Versions, and the command that measured.
    """

    curves: Mapping[str, RPCurve]
    originals: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def points(self, name: str | None = None) -> list[RPPoint]:
        """The points of a curve; of the only one without a name.

        Raises:
            MeasurementError: When there is no such curve, or none is named of several.
        """
        if name is None and len(self.curves) == 1:
            (curve,) = self.curves.values()
            return curve.points
        if name is None or name not in self.curves:
            wanted = "name one of its curves" if name is None else f"no curve {name!r}"
            raise MeasurementError(f"{wanted}: FILE:CURVE, with one of {', '.join(self.curves)}")
        return self.curves[name].points

    def save(self, path: Path) -> None:
        """Write JSON, or what of it a table holds where the name ends in ``.csv``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        as_table = path.suffix == ".csv"
        text = _to_csv(self.curves) if as_table else json.dumps(self._to_dict()) + "\n"
        write_atomically(path, [text.encode()])

    def _to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "data": dict(self.data),
            "made_with": dict(self.made_with),
            "originals": finite(self.originals),
            "curves": {
                name: {
                    "title": curve.title or name,
                    "codec": dict(curve.codec),
                    "points": [point.to_dict() for point in sort_points(curve.points)],
                }
                for name, curve in self.curves.items()
            },
        }

    @classmethod
    def load(cls, source: str | Path) -> RPFile:
        """Read what :meth:`save` wrote, any CSV with ``bpp`` and scores, or ``paper``.

        Raises:
            MeasurementError: When there is no such file, or it is neither.
        """
        path = _PAPER_FILE if str(source) == PAPER else Path(source)
        if not path.is_file():
            raise MeasurementError(f"no R-P points at {path}: measure them with `vcm-mt curve`")
        if path.suffix == ".csv":
            return cls(_read_csv(path))
        try:
            told = json.loads(path.read_bytes())
        except ValueError as error:
            raise MeasurementError(f"{path} is not JSON: {error}") from error
        except OSError as error:
            raise MeasurementError(f"{path} can't be read: {error.strerror}") from error
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise MeasurementError(f"{path} holds no R-P points: `vcm-mt curve` writes them")
        if told.get("version") != VERSION:
            raise MeasurementError(
                f"{path} is of version {told.get('version')}, this program reads {VERSION}"
            )
        try:
            curves = {
                name: RPCurve(
                    [RPPoint.from_dict(point) for point in curve["points"]],
                    curve.get("title", name),
                    curve.get("codec", {}),
                )
                for name, curve in told["curves"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise MeasurementError(f"{path} is damaged: {error!r}") from error
        known = told.get("originals", {}).items()
        originals = {name: value for name, value in known if value is not None}
        return cls(curves, originals, told.get("data", {}), told.get("made_with", {}))


def _to_csv(curves: Mapping[str, RPCurve]) -> str:
    points = [(name, point) for name, curve in curves.items() for point in curve.points]
    metrics = sorted({metric for _, point in points for metric in point.metrics})
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*_FIXED, *metrics])
    for name, point in points:
        scores = [point.metrics.get(metric, "") for metric in metrics]
        table.writerow([name, point.quality, point.bpp, point.bpp_estimated, *scores])
    return text.getvalue()


def _read_csv(path: Path) -> dict[str, RPCurve]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # spreadsheets put a mark first
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{path} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise MeasurementError(f"{path} can't be read: {error.strerror}") from error
    header = lines[0] if lines else ""
    separator = next((mark for mark in ";\t" if mark in header), ",")
    table = csv.reader(lines, delimiter=separator)
    names = [_column(name) for name in next(table, [])]
    if "bpp" not in names:
        raise MeasurementError(f"{path} needs a header line with `bpp` and the scores' names")
    found: dict[str, list[RPPoint]] = {}
    for cells in filter(any, table):
        try:
            if len(cells) > len(names):
                raise ValueError(f"{len(cells)} values under {len(names)} names")
            row = dict(zip(names, map(str.strip, cells), strict=False))
            curve = row.pop("curve", "") or path.stem
            known = found.setdefault(curve, [])
            known.append(_csv_point(row, len(known) + 1, separator))
        except ValueError as error:
            raise MeasurementError(f"{path}, line {table.line_num}: {error}") from error
    if not found:
        raise MeasurementError(f"{path} has no points below its header line")
    return {name: RPCurve(points, name) for name, points in found.items()}


def _column(name: str) -> str:
    """A column's name; ours in any case."""
    name = name.strip()
    return name.lower() if name.lower() in _FIXED else name


def _csv_point(row: Mapping[str, str], number: int, separator: str) -> RPPoint:
    figures = {}
    for name, text in row.items():
        if text:
            try:  # where commas do not separate, they are decimal ones
                figures[name] = float(text if separator == "," else text.replace(",", "."))
            except ValueError:
                raise ValueError(f"{name} is {text!r}, which is no number") from None
    if "bpp" not in figures:
        raise ValueError("no bpp")
    quality, bpp = figures.pop("quality", float(number)), figures.pop("bpp")
    return RPPoint(quality, bpp, figures.pop("bpp_estimated", None), figures)


def split_name(source: str) -> tuple[str, str | None]:
    """File and curve of ``FILE:CURVE``, either of which may have a colon of its own.

    The longest part that is a file counts as one; where none is, all up to the last colon.
    """
    parts = source.split(":")
    for count in range(len(parts), 0, -1):
        file = ":".join(parts[:count])
        if file == PAPER or Path(file).is_file():
            return file, ":".join(parts[count:]) or None
    file, colon, curve = source.rpartition(":")
    return (file, curve) if colon else (source, None)


def load_points(source: str) -> Sequence[RPPoint]:
    """The points that ``FILE:CURVE`` names, see :meth:`RPFile.load`."""
    file, curve = split_name(source)
    return RPFile.load(file).points(curve)
