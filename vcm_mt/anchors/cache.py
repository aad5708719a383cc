"""Anchor streams on disk, so that each picture is encoded once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from tqdm import tqdm

from vcm_mt.anchors.base import Anchor, Picture, check_picture
from vcm_mt.errors import MeasurementError
from vcm_mt.files import PARTIAL, write_atomically

logger = logging.getLogger(__name__)

DIGEST_BYTES = 32
#: Age in seconds from which an unfinished file counts as left by a killed run.
LEFTOVER_AGE = 3600


class CodedPicture(NamedTuple):
    """One picture through a codec: bytes of its stream, and uint8 [H, W, 3] as decoded."""

    num_bytes: int
    picture: Picture


class CachedAnchor(Anchor):
    """An anchor that keeps its streams in a folder.

    An entry is `<folder>/<fingerprint of the anchor>/qp<QP>/<SHA-256 of the picture>.bin`: SHA-256
    of the stream, then the stream. An entry that does not fit its digest is encoded again. Several
    processes may share a folder: an entry is there completely or not at all.

    Args:
        anchor: The codec.
        folder: Where to keep the streams; made when first needed.
    """

    def __init__(self, anchor: Anchor, folder: str | os.PathLike[str]) -> None:
        self.record = anchor.record
        self.qualities, self.quality_range = anchor.qualities, anchor.quality_range
        self._anchor = anchor
        self._folder = Path(folder) / anchor.fingerprint[:16]
        self._writing = Lock()
        _remove_leftovers(self._folder)

    def encode(self, picture: Picture, qp: int) -> bytes:
        """Return the stream in the folder, or encode and store it."""
        check_picture(picture)
        path = self._folder / f"qp{qp}" / f"{_picture_key(picture)}.bin"
        stream = _read_entry(path)
        if stream is None:
            stream = self._anchor.encode(picture, qp)
            self._store(path, hashlib.sha256(stream).digest() + stream)
        return stream

    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode with the anchor; decoded pictures are not stored."""
        return self._anchor.decode(data, height, width)

    def header_bytes(self, data: bytes) -> int:
        """Count as the anchor does."""
        return self._anchor.header_bytes(data)

    def _store(self, path: Path, entry: bytes) -> None:
        record = self._folder / "record.json"
        with self._writing:  # a file being written is named by its process, not by its thread
            path.parent.mkdir(parents=True, exist_ok=True)
            if not record.exists():
                write_atomically(record, [json.dumps(asdict(self.record), indent=2).encode()])
            write_atomically(path, [entry])


def code_pictures(
    anchor: Anchor,
    pictures: Iterable[Picture],
    qp: int,
    folder: str | os.PathLike[str],
    processes: int = 1,
    progress: bool = True,
) -> Iterator[CodedPicture]:
    """Encode and decode pictures at one QP, in their order; streams in the folder are reused.

    Threads here only wait: an anchor such as VVC runs one codec process per picture, so
    `processes` of them work at once, and nothing has to be pickled or imported anew. Pillow's
    codecs too work side by side in threads.

    Args:
        anchor: The codec.
        pictures: uint8 [H, W, 3] each; read lazily, few are held at a time.
        qp: Quantiser or quality, passed on.
        folder: The cache, see `CachedAnchor`.
        processes: How many pictures are coded at once, 1 or more.
        progress: Show a bar with the time left.
    """
    if processes < 1:
        raise MeasurementError(f"processes must be 1 or more, got {processes}")
    cached = CachedAnchor(anchor, folder)
    bar = tqdm(
        total=len(pictures) if isinstance(pictures, Sized) else None,
        desc=f"{anchor.record.name} at {qp}",
        unit="picture",
        disable=not progress,
    )
    pool = ThreadPoolExecutor(processes)
    waiting: deque[Future[CodedPicture]] = deque()
    try:
        for picture in pictures:
            waiting.append(pool.submit(_code_one, cached, picture, qp))
            if len(waiting) >= 2 * processes:
                yield waiting.popleft().result()
                bar.update()
        while waiting:
            yield waiting.popleft().result()
            bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
        bar.close()


def _code_one(anchor: Anchor, picture: Picture, qp: int) -> CodedPicture:
    stream = anchor.encode(picture, qp)
    return CodedPicture(len(stream), anchor.decode(stream, *picture.shape[:2]))


def _picture_key(picture: Picture) -> str:
    return hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()


def _read_entry(path: Path) -> bytes | None:
    """The stream of an entry; None if there is none or it is damaged."""
    try:
        entry = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, stream = entry[:DIGEST_BYTES], entry[DIGEST_BYTES:]
    if hashlib.sha256(stream).digest() != digest:
        logger.warning("%s is damaged: coding this picture again", path)
        return None
    return stream


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of killed runs."""
    with suppress(FileNotFoundError):  # another process may be removing them too
        for path in folder.rglob(f"*{PARTIAL}"):
            if time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                path.unlink()
