"""Curves on disk: our own files, tables, and the results of CompressAI.

``docs/measurement.md`` has the layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from typing_extensions import Self

from vcm_mt.curves.compact import packed, unpacked
from vcm_mt.curves.compressai_file import compressai_points
from vcm_mt.curves.csv_file import read_csv, to_csv
from vcm_mt.curves.rp import Pictures, RPPoint, finite, sort_points
from vcm_mt.errors import MeasurementError
from vcm_mt.files import write_atomically

FORMAT = "vcm_mt R-P points"
VERSION = 1
#: The paper's own tables, cited; they can be named in place of a file.
PAPER = "paper"
#: The role of a curve's codec.
ANCHOR, LEARNED, OURS = "anchor", "learned", "ours"
_PAPER_FILE = Path(__file__).with_name("paper_tables.json")


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
        """Write the file.

        Args:
            path: ``.json`` holds everything, ``.npz`` the same in a quarter of the space (see
                :mod:`vcm_mt.curves.compact`), ``.csv`` rates and scores alone.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [self._to_bytes(path.suffix)])

    def _to_bytes(self, suffix: str) -> bytes:
        curves = {name: sort_points(curve.points) for name, curve in self.curves.items()}
        if suffix == ".csv":
            return to_csv(curves).encode()
        if suffix != ".npz":
            return json.dumps(self._content(curves)).encode() + b"\n"
        pictures = [point.pictures for points in curves.values() for point in points]
        bare = {n: [replace(p, pictures=None) for p in points] for n, points in curves.items()}
        return packed(self._content(bare), pictures)

    def _content(self, curves: Mapping[str, Sequence[RPPoint]]) -> dict[str, Any]:
        """The file as plain values for JSON, with these points on its curves."""
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
                    "points": [point.to_dict() for point in curves[name]],
                }
                for name, curve in self.curves.items()
            },
        }

    @classmethod
    def load(cls, source: str | Path) -> RPFile:
        """Read a file of R-P points.

        Args:
            source: What :meth:`save` wrote; another table, or CompressAI-Vision's
                (:func:`vcm_mt.curves.csv_file.read_csv`); CompressAI's JSON
                (:func:`vcm_mt.curves.compressai_file.compressai_points`); or ``paper``.

        Raises:
            MeasurementError: When there is no such file, or it is none of these.
        """
        path = _PAPER_FILE if str(source) == PAPER else Path(source)
        if not path.is_file():
            raise MeasurementError(f"no R-P points at {path}: measure them with `vcm-mt curve`")
        if path.suffix == ".csv":
            return cls({name: RPCurve(points, name) for name, points in read_csv(path).items()})
        content, pictures = _read(path)
        try:
            if "results" in content:
                return _compressai(content, path)
            return cls._of(content, pictures, path)
        except (KeyError, TypeError, AttributeError) as error:
            raise MeasurementError(f"{path} is damaged: {error!r}") from error

    @classmethod
    def _of(cls, content: dict[str, Any], pictures: Iterable[Pictures | None], path: Path) -> Self:
        """The file from its plain values.

        Args:
            content: What :meth:`_content` gave.
            pictures: The pictures of all points, where the values do not hold them.
            path: The file, for errors.
        """
        if content.get("format") != FORMAT:
            raise MeasurementError(f"{path} holds no R-P points: `vcm-mt curve` writes them")
        if content.get("version") != VERSION:
            raise MeasurementError(
                f"{path} is of version {content.get('version')}, this program reads {VERSION}"
            )
        curves = {
            name: RPCurve(
                [RPPoint.from_dict(point) for point in curve["points"]],
                curve.get("title", name),
                curve.get("codec", {}),
            )
            for name, curve in content["curves"].items()
        }
        kept = iter(pictures)
        for curve in curves.values():
            curve.points[:] = [replace(p, pictures=next(kept, p.pictures)) for p in curve.points]
        known = content.get("originals", {}).items()
        originals = {name: value for name, value in known if value is not None}
        return cls(curves, originals, content.get("data", {}), content.get("made_with", {}))


def _read(path: Path) -> tuple[dict[str, Any], list[Pictures | None]]:
    """A file's plain values, and the points' pictures of a compact one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeasurementError(f"{path} can't be read: {error.strerror}") from error
    if path.suffix == ".npz":
        try:
            return unpacked(data)
        except MeasurementError as error:
            raise MeasurementError(f"{path} is not a compact file: {error}") from error
    try:
        content = json.loads(data)
    except ValueError as error:
        raise MeasurementError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise MeasurementError(f"{path} holds no R-P points: `vcm-mt curve` writes them")
    return content, []


def _compressai(content: dict[str, Any], path: Path) -> RPFile:
    """The one curve of CompressAI's file, under the file's name."""
    try:
        points = compressai_points(content)
    except MeasurementError as error:
        raise MeasurementError(f"{path}: {error}") from error
    title = str(content.get("name", path.stem))
    return RPFile({path.stem: RPCurve(points, title, {"name": title})})


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
