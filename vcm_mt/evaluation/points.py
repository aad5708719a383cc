"""Measured points on disk, found again only for exactly what they were measured on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


class PointStore:
    """A JSON file of points, each under a digest of its provenance.

    The provenance says everything that decides the point: the fingerprints of data, tasks
    and codec. A point of another provenance is simply not there.

    Args:
        path: The file that points are added to.
        shipped: A file of points that came with the package; read only.
    """

    def __init__(self, path: Path, shipped: Path | None = None) -> None:
        self.path = path
        self._shipped = _read(shipped) if shipped else {}

    def get(self, provenance: dict[str, Any]) -> dict[str, Any] | None:
        """The point of that provenance, as it was added."""
        key = _key(provenance)
        entry = _read(self.path).get(key) or self._shipped.get(key)
        return entry["point"] if entry else None

    def add(self, provenance: dict[str, Any], point: dict[str, Any]) -> None:
        """Write a point down; the file is whole at every moment."""
        entries = _read(self.path) | {_key(provenance): {"of": provenance, "point": point}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps(entries, indent=1) + "\n")
        os.replace(partial, self.path)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _key(provenance: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:16]
