"""A sequence read while it arrives: from a pipe, or from the middle of what somebody sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from vcm_mt.bitstream.fields import CRC_BYTES, MAGIC, PREDICTED, SEQUENCE, version_of
from vcm_mt.bitstream.sequence import HEADER, Head, bounds, read_record
from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

#: The longest header, and the longest record that is waited for.
_LONGEST_HEADER, _LONGEST = 64, 1 << 26
_AT_ONCE = 1 << 16


class StreamReader:
    """Iterates over the pictures of a sequence as they arrive.

    It yields packets in order, and ``None`` where pictures were lost: what is predicted from them
    is left out, up to the next key picture. A stream of version 2 may begin anywhere: it is read
    from its next header on. Memory is bounded by the longest record.

    Args:
        file: A binary file opened for reading, which need not be seekable.

    Attributes:
        head: What all pictures share, once the first header was found.
        whole: Whether the stream came to its end, and was not cut off.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.head: Head | None = None
        self.whole = False
        self._file = file
        self._buffer = b""

    def __iter__(self) -> Iterator[Packet | None]:
        """Read up to the end.

        Raises:
            BitstreamError: If there is no header at all.
        """
        if not self._find_header():
            raise BitstreamError("no sequence begins in what was read")
        number, before, lost, faults = self._number, b"", False, 0
        while (found := self._next()) is not None:
            kind, body = found
            if kind == HEADER:
                continue
            try:
                packet = read_record(body, kind, number, self._known, self._mark, before)
            except BitstreamError:
                faults += 1
                if faults > 1 and self._known.version == PREDICTED:
                    if not self._find_header():  # the length was damaged, too
                        break
                    number, before, faults = self._number, b"", 0
                    yield None
                    lost = True
                    continue
                packet = None
            else:
                faults = 0
            before = body[-CRC_BYTES:]
            number += 1
            lost = packet is None or (lost and packet.predicted)
            yield None if lost else packet
        if not self.whole and self._buffer:
            yield None

    @property
    def _known(self) -> Head:
        assert self.head is not None
        return self.head

    def _next(self) -> tuple[int, bytes] | None:
        """What the next record holds; ``None`` at the end, or where the stream is cut off."""
        self._fill(8)
        if self._buffer[:1] == b"\0":
            self.whole = True
        if self.whole or not self._buffer:
            return None
        try:
            kind, start, end = bounds(self._buffer, 0, self._known.version)
        except BitstreamError:
            kind, start, end = HEADER + 1, 0, 1
        if end > _LONGEST:
            kind, start, end = HEADER + 1, 0, 1
        self._fill(end)
        if len(self._buffer) < end:
            return None
        body, self._buffer = self._buffer[start:end], self._buffer[end:]
        return kind, body

    def _find_header(self) -> bool:
        """Skip to behind the next undamaged header; whether there is one."""
        while True:
            self._fill(_LONGEST_HEADER)
            at = self._buffer.find(MAGIC)
            if at < 0:
                if not self._more():
                    return False
                self._buffer = self._buffer[-_LONGEST_HEADER:]
                continue
            self._buffer = self._buffer[at:]
            self._fill(_LONGEST_HEADER)
            try:
                if version_of(self._buffer)[1] != SEQUENCE:
                    raise BitstreamError("a single picture")
                self.head, end = Head.read(self._buffer)
            except BitstreamError:
                self._buffer = self._buffer[1:]
                continue
            self._buffer, self._mark = self._buffer[end:], self.head.mark
            self._number = self.head.first
            return True

    def _fill(self, count: int) -> None:
        """Read until the buffer has so many bytes, or the stream ends."""
        while len(self._buffer) < count and self._more():
            pass

    def _more(self) -> bool:
        read = getattr(self._file, "read1", self._file.read)  # what is there, without waiting
        data = read(_AT_ONCE)
        self._buffer += data
        return bool(data)
