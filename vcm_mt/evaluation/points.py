"""Measured points on disk, found again only for exactly what they were measured on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from vcm_mt.evaluation.rp import RPPoint

#: The points of one pass, by receiver.
Points = dict[str, RPPoint]


class PointStore:
    """A folder with one folder per pass, named by a digest of its provenance.

    The provenance says everything that decides the points: digests of data, tasks and codec.
    Points of another provenance are simply not there; points that were measured for more tasks
    serve as well.

    Args:
        folder: Where points are added.
        shipped: A file of points that came with the package; read only.
    """

    def __init__(self, folder: Path, shipped: Path | None = None) -> None:
        self._folder = folder
        self._shipped = list(json.loads(shipped.read_text()).values()) if shipped else []

    def place(self, provenance: dict[str, Any]) -> Path:
        """The folder of a pass."""
        return self._folder / _key(provenance)

    def get(self, provenance: dict[str, Any]) -> dict[str, Any] | None:
        """The record of that provenance, as it was added."""
        path = self.place(provenance) / "points.json"
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        return next((one for one in self._shipped if _serves(one["of"], provenance)), None)

    def add(self, provenance: dict[str, Any], record: dict[str, Any]) -> None:
        """Write a record down; the file appears whole or not at all."""
        place = self.place(provenance)
        place.mkdir(parents=True, exist_ok=True)
        partial = place / "points.part"
        partial.write_text(json.dumps({"of": provenance, **record}) + "\n")
        os.replace(partial, place / "points.json")


def _serves(known: dict[str, Any], wanted: dict[str, Any]) -> bool:
    tasks = known.get("tasks", {})
    return {**known, "tasks": {}} == {**wanted, "tasks": {}} and all(
        tasks.get(name) == task for name, task in wanted.get("tasks", {}).items()
    )


def _key(provenance: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:16]
