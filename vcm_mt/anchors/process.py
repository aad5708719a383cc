"""Run external programs."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vcm_mt.errors import AnchorError


def call(
    command: Sequence[str], data: bytes = b"", folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever its exit status.

    Args:
        command: The program and its arguments.
        data: Its standard input.
        folder: Where it runs; the current folder if None.

    Raises:
        AnchorError: It can't be started.
    """
    try:
        return subprocess.run(command, input=data, capture_output=True, check=False, cwd=folder)
    except OSError as error:
        raise AnchorError(f"can not start {command[0]}: {error}") from error


def sha256(path: Path) -> str:
    """SHA-256 of a program or its configuration, 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def last_lines(text: bytes, count: int = 5) -> str:
    """The last lines of a program's output."""
    return "\n".join(text.decode(errors="replace").strip().splitlines()[-count:])
