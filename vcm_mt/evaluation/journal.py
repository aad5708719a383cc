"""Results picture by picture, written to disk at once, so that a stopped pass can resume."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self


class Journal:
    """A folder of entries, one per picture. Each process writes a file of its own.

    Every entry is a line of JSON. A process that is killed leaves at most one incomplete line,
    which is removed.

    Args:
        folder: Holds the entries; created when it is entered.
        rank: The process whose file is written.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._folder = folder
        self._path = folder / f"pictures-{rank}.jsonl"
        self._file: Any = None

    def entries(self) -> dict[int, dict[str, Any]]:
        """All entries of all processes by the picture's number."""
        found = {}
        for path in sorted(self._folder.glob("pictures-*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:  # the last part has no line end
                try:
                    entry = json.loads(line)
                    found[entry["index"]] = entry
                except (ValueError, TypeError, KeyError):
                    continue  # damaged since: that picture is measured again
        return found

    def add(self, entry: dict[str, Any]) -> None:
        """Append an entry; its ``index`` is the picture's number."""
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._path.is_file():
            there = self._path.read_bytes()
            whole = there.rfind(b"\n") + 1
            if whole < len(there):
                os.truncate(self._path, whole)
        self._file = self._path.open("ab")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
