"""What was found picture by picture, on disk as soon as it is known, so that nothing runs twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self


class Journal:
    """A folder of entries, one per picture; several processes may write, each its own file.

    Every entry is a line. A process that is killed leaves at most one torn line, which is dropped.

    Args:
        folder: Where the entries are; made when first written to.
        rank: Whose file to write.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._folder = folder
        self._path = folder / f"pictures-{rank}.jsonl"
        self._file: Any = None

    def entries(self) -> dict[int, dict[str, Any]]:
        """All entries of all processes by the picture's number."""
        found = {}
        for path in sorted(self._folder.glob("pictures-*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:  # what no line end follows is torn
                try:
                    entry = json.loads(line)
                    found[entry["index"]] = entry
                except (ValueError, TypeError, KeyError):
                    continue  # damaged since: that picture is measured again
        return found

    def add(self, entry: dict[str, Any]) -> None:
        """Write an entry down; ``index`` is its picture's number."""
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
