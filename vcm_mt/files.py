"""Files that are there as a whole or not at all, and which are pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

#: Endings that a folder's pictures are taken by.
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
#: What Pillow raises for a file that is damaged, or no picture.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
#: Added to a file's name while it is being written.
PARTIAL = ".part"


def write_atomically(path: Path, parts: Iterable[bytes], durable: bool = False) -> None:
    """Write a file beside its place and move it there: a reader sees the old one or the new one.

    Of several processes that write the same file at once, the last one's stays.

    Args:
        path: Its name; a file of that name is replaced.
        parts: Its content, piece by piece.
        durable: Wait until the disk has it, so that it also outlives a loss of power.

    Raises:
        OSError: When it cannot be written, as on a full disk; what was there before still is.
    """
    partial = partial_of(path)
    try:
        with partial.open("wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
        if durable:
            _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where this process writes what will be ``path``."""
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")


def remove_partials(folder: Path) -> None:
    """Remove what processes that were killed had half written."""
    for partial in folder.glob(f"*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
