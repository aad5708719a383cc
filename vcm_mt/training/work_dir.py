"""Work dirs: check that they can be written, and lock them for one training at a time."""

from __future__ import annotations

import errno
import os
import socket
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from mmengine.dist import broadcast_object_list, is_main_process

from vcm_mt.errors import ConfigError, TrainingError, VCMError

_NAME = "training.lock"
#: Error numbers when another process holds the lock, and when the file system has no locks.
_HELD_BY_ANOTHER = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
#: Offset of the byte that is locked on Windows. Locked bytes cannot be read, and the start of the
#: file says which process holds it.
_FAR = 1 << 20

#: Folders that this process has locked.
_OWN: set[Path] = set()


def check_work_dirs(folders: Iterable[Path]) -> None:
    """Check that folders can be made and written, without making them.

    Raises:
        ConfigError: When one cannot.
    """
    for folder in folders:
        place = folder.absolute()
        there = next(p for p in (place, *place.parents) if os.path.exists(p))
        if not there.is_dir():
            raise _unusable(folder, f"{there} is a file")
        if not os.access(there, os.W_OK | os.X_OK):
            raise _unusable(folder, f"{there} is read-only")


@contextmanager
def own_work_dirs(folders: Iterable[Path]) -> Iterator[None]:
    """Make the work dirs of trainings, and lock them while the context is open.

    The lock is the operating system's, so that it is released however the process ends. In a
    distributed training, whose processes must have joined before, the first process holds it.

    Raises:
        ConfigError: When a folder cannot be made or written.
        TrainingError: When another training uses one of them.
    """
    with ExitStack() as held:
        refused: list[VCMError | None] = [None]
        if is_main_process():
            try:
                for folder in folders:
                    held.enter_context(_owned(folder))
            except VCMError as error:
                refused = [error]
        broadcast_object_list(refused)
        if refused[0] is not None:
            raise refused[0]
        yield


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    place = folder.resolve()
    if place in _OWN:  # locked by a caller; closing the file again would release the lock
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise _unusable(folder, error.strerror) from error
    with file:
        _take(file, folder)
        _OWN.add(place)
        try:
            yield
        finally:
            _OWN.remove(place)


def _take(file: IO[str], folder: Path) -> None:
    """Lock a file for this process, or raise an error that names the process that holds it."""
    try:
        _lock(file)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
    except OSError as error:
        if error.errno in _NO_LOCKS:
            warnings.warn(
                f"{folder} is on a file system without locks ({error.strerror}): see to it that "
                "no other training uses that folder",
                stacklevel=2,
            )
        elif error.errno in _HELD_BY_ANOTHER:
            file.seek(0)
            raise TrainingError(
                f"another training is at work in {folder} ({file.read() or 'it has just begun'}): "
                "give another --work-dir, or wait until it has ended"
            ) from error
        else:
            raise _unusable(folder, error.strerror) from error


def _lock(file: IO[str]) -> None:
    # Not flock(): a forked worker of a data loader would share the lock and may outlive this.
    if sys.platform == "win32":
        import msvcrt

        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unusable(folder: Path, reason: str | None) -> ConfigError:
    return ConfigError(f"{folder} cannot be written ({reason}): give another --work-dir")
