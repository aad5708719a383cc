"""Measured points on disk, keyed by everything that decides them."""

from __future__ import annotations

import hashlib
import json
import lzma
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import MeasurementError
from vcm_mt.files import write_atomically

#: The points of one pass, by receiver.
Points = dict[str, RPPoint]
_FILE = "points.json"


class PointStore:
    """A folder of records: the points of one codec on one test set, for some of the tasks.

    A record is found by its whole provenance: digests of data and codec, and of each task.

    Args:
        folder: Where records are added, in a folder per codec and tasks.
        shipped: A file of records that were measured before, JSON or ``.xz`` of it; read only.
    """

    def __init__(self, folder: Path, shipped: Path | None = None) -> None:
        self._folder = folder
        self._shipped = _unpacked(shipped) if shipped else []

    def place(self, of: dict[str, Any], tasks: dict[str, Any]) -> Path:
        """The folder of a codec's pass for these tasks."""
        return self._folder / f"{_key(of)}-{_key(tasks)}"

    def records(self, of: dict[str, Any]) -> list[dict[str, Any]]:
        """All records of a codec: each has ``of``, ``tasks`` with digests, and ``points``."""
        paths = sorted(self._folder.glob(f"{_key(of)}-*/{_FILE}"))
        own = [record for path in paths if (record := _read(path)) is not None]
        return own + [record for record in self._shipped if record["of"] == of]

    def add(self, of: dict[str, Any], tasks: dict[str, Any], points: Points) -> None:
        """Write a record, atomically."""
        place = self.place(of, tasks)
        place.mkdir(parents=True, exist_ok=True)
        told = {name: point.to_dict() for name, point in points.items()}
        record = json.dumps({"of": of, "tasks": tasks, "points": told}) + "\n"
        write_atomically(place / _FILE, [record.encode()])

    def pack(self, file: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Write the records that are ``wanted``, own and shipped, into one file.

        Args:
            file: A ``.json.xz``, to be given as ``shipped``.
            wanted: Called with a record.
        """
        own = [_read(path) for path in sorted(self._folder.glob(f"*/{_FILE}"))]
        records = [record for record in [*own, *self._shipped] if record and wanted(record)]
        write_atomically(file, [lzma.compress(json.dumps(records).encode(), preset=9)])


def _unpacked(file: Path) -> list[dict[str, Any]]:
    try:
        data = file.read_bytes()
        records: list[dict[str, Any]] = json.loads(
            lzma.decompress(data) if file.suffix == ".xz" else data
        )
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise MeasurementError(f"{file} is missing or damaged: {error}") from error
    return records


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        for point in record["points"].values():
            RPPoint.from_dict(point)
        return record if isinstance(record["tasks"], dict) else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        warnings.warn(f"{path} is damaged ({error}): measured again", stacklevel=2)
        return None


def _key(provenance: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:12]
