"""Files that are there as a whole or not at all, and which are pictures."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from vcm_mt.errors import ConfigError

#: Endings that a folder's pictures are taken by.
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
#: What Pillow raises for a file that is damaged, or no picture.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
#: Added to a file's name while it is being written.
PARTIAL = ".part"
#: What file systems answer that cannot wait for a folder, as some networks' and macOS's do.
_CANNOT_SYNC = {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP}


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


def check_output(path: Path) -> None:
    """Make sure that a file can be written, before the long work whose result it will hold.

    Its folder is made.

    Raises:
        ConfigError: When it is a folder or no plain file, or cannot be written.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder, and a file is to be written there: name a file")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no plain file: name another one to write to")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_of(path)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): name another place"
        ) from error


def remove_partials(folder: Path) -> None:
    """Remove what processes that were killed had half written."""
    for partial in folder.glob(f"*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk only when its folder is."""
    if sys.platform == "win32":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
