"""Sequences of pictures of equal size: a chain of records, with an index at its end.

``docs/bitstream.md`` describes the layout. In version 1 each picture stands by itself. In version 2
a picture may be predicted from the ones before it, back to the last key picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from vcm_mt.bitstream.fields import (
    CRC_BYTES,
    FINGERPRINT_BYTES,
    PREDICTED,
    SEQUENCE,
    VERSION,
    checked,
    crc,
    header,
    read_header,
    read_varint,
    varint,
    verified,
    version_of,
)
from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

_END_BYTES = 8
_END_MAGIC = b"VCMI"
#: In version 2, what a record holds, in the lowest two bits of its length.
KEY, FOLLOWS, HEADER = 0, 1, 2
#: In version 2 the header is repeated before a key picture when this many have passed since.
REPEAT = 32


class Head(NamedTuple):
    """What all pictures of a sequence share.

    Attributes:
        packet: The shared fields, as a packet without its string.
        fps: Pictures per second as a fraction (numerator, denominator); 0/1 if unknown.
        version: 1, or 2 with predicted pictures.
        first: Number of the picture that follows this header; 0 for the one at the beginning.
    """

    packet: Packet
    fps: tuple[int, int]
    version: int = VERSION
    first: int = 0

    @property
    def shared(self) -> bytes:
        """The bytes that are the same in every header of the sequence."""
        told = header(self.packet, SEQUENCE, self.version)
        told += varint(self.fps[0]) + varint(self.fps[1])
        return told + self.packet.prior if self.version == PREDICTED else told

    @property
    def mark(self) -> bytes:
        """What the checksum of every record counts, so that other sequences' do not match."""
        return crc(self.shared)

    def pack(self) -> bytes:
        """The header as it is written."""
        return checked(self.shared + (varint(self.first) if self.version == PREDICTED else b""))

    @staticmethod
    def read(data: bytes) -> tuple[Head, int]:
        """The header at the beginning of ``data``, and where it ends.

        Raises:
            BitstreamError: If there is none, or it is damaged.
        """
        version, kind = version_of(data)
        if kind != SEQUENCE:
            raise BitstreamError("the bitstream is a single picture: open it with unpack")
        packet, at = read_header(data)
        numerator, at = read_varint(data, at)
        denominator, at = read_varint(data, at)
        first = 0
        if version == PREDICTED:
            packet = replace(packet, prior=data[at : at + FINGERPRINT_BYTES])
            first, at = read_varint(data, at + FINGERPRINT_BYTES)
        verified(data[: at + CRC_BYTES], "the sequence's header")
        return Head(packet, (numerator, denominator), version, first), at + CRC_BYTES


class SequenceWriter:
    """Writes a sequence of pictures of equal size.

    It is of version 2 if its first picture's packet names a temporal prior. :meth:`close` writes
    the index. Without it, :class:`SequenceReader` still finds all pictures.

    Args:
        file: A binary file opened for writing.
        fps: Pictures per second as a fraction (numerator, denominator); 0/1 if unknown.

    Raises:
        BitstreamError: If ``fps`` is not a fraction of 0 or more.
    """

    def __init__(self, file: BinaryIO, fps: tuple[int, int] = (0, 1)) -> None:
        if fps[0] < 0 or fps[1] < 1:
            raise BitstreamError(f"fps must be a fraction of 0 or more, not {fps[0]}/{fps[1]}")
        self._file = file
        self._fps = fps
        self._head: Head | None = None
        self._mark = self._before = b""
        self._header_at = 0
        self._sizes: list[int] = []

    def write(self, packet: Packet) -> None:
        """Append a picture.

        Raises:
            BitstreamError: If its size, quality or transmitter differ from the first picture's, or
                it is predicted and there is none before it.
        """
        number = len(self._sizes)
        if self._head is None:
            self._begin(packet)
        elif shared_fields(packet) != self._head.packet:
            raise BitstreamError(
                f"picture {number} differs in transmitter, size or quality from the first picture "
                "of its sequence"
            )
        assert self._head is not None
        told = b""
        due = self._head.version == PREDICTED and number - self._header_at >= REPEAT
        if due and not packet.predicted:
            again = self._head._replace(first=number).pack()
            told = varint(len(again) << 2 | HEADER) + again
            self._header_at = number
        told += record(packet, number, self._mark, self._before, self._head.version)
        self._file.write(told)
        self._before = told[-CRC_BYTES:]
        size = len(told)
        self._sizes.append(size if self._head.version == VERSION else size << 1 | packet.predicted)

    def _begin(self, packet: Packet) -> None:
        if packet.predicted:
            raise BitstreamError("the first picture of a sequence cannot be a predicted one")
        head = Head(shared_fields(packet), self._fps, PREDICTED if packet.prior else VERSION)
        self._file.write(head.pack())
        self._head, self._mark = head, head.mark

    def close(self) -> None:
        """Write the index. The file stays open.

        Raises:
            BitstreamError: If no picture was written.
        """
        if self._head is None:
            raise BitstreamError("a sequence needs at least one picture")
        index = b"\0" + varint(len(self._sizes)) + b"".join(map(varint, self._sizes))
        index += crc(self._mark + index)
        self._file.write(index + len(index).to_bytes(4, "big") + _END_MAGIC)


class _Place(NamedTuple):
    """Where a picture's record begins and ends, and whether it is predicted."""

    start: int
    end: int
    predicted: bool


class SequenceReader(Sequence[Packet]):
    """Random access to the pictures of a sequence.

    Args:
        data: The whole file.

    Attributes:
        fps: Pictures per second as a fraction (numerator, denominator); 0/1 if unknown.
        size: Height and width of every picture.
        header: The fields that all pictures share, as a packet without its string.
        whole: Whether the file has its index. A file that was cut off, or never closed, has none;
            its undamaged pictures can still be read.

    Raises:
        BitstreamError: If the bytes are not a sequence, or no picture is complete.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._head, start = Head.read(data)
        self.header, self.fps = self._head.packet, self._head.fps
        self.size = (self.header.height, self.header.width)
        self._mark = self._head.mark
        index = self._index(start)
        self.whole = index is not None
        self._places = index if index is not None else list(self._scan(start))
        if not self._places:
            raise BitstreamError("the sequence is cut off before its first picture ends")

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self._places)

    def __getitem__(self, number):
        """One picture, or several for a slice.

        Raises:
            BitstreamError: If the picture is damaged.
            IndexError: If there is no such picture.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        return self._read(number, self._places[number], self._before(number))

    def key_of(self, number: int) -> int:
        """The key picture that decoding must begin with, to get a picture."""
        number = range(len(self))[number]
        while self._places[number].predicted and number:
            number -= 1
        return number

    def damaged(self) -> dict[int, BitstreamError]:
        """The errors of the pictures that cannot be decoded, by number.

        After a damaged picture those predicted from it are lost too, up to the next key picture.
        """
        errors: dict[int, BitstreamError] = {}
        for number, place in enumerate(self._places):
            try:
                self[number]
            except BitstreamError as error:
                errors[number] = error
            if number not in errors and place.predicted and number - 1 in errors:
                errors[number] = BitstreamError(
                    f"picture {number} of the sequence is predicted from a damaged one"
                )
        return errors

    def _before(self, number: int) -> bytes:
        """The checksum of the picture before."""
        end = self._places[number - 1].end if number else 0
        return self._data[end - CRC_BYTES : end].tobytes() if end else b""

    def _read(self, number: int, place: _Place, before: bytes) -> Packet:
        data = self._data[place.start : place.end].tobytes()
        kind, start, end = bounds(data, 0, self._head.version)
        if kind == HEADER:
            kind, start, end = bounds(data, end, self._head.version)
        if end != len(data):
            raise BitstreamError(
                f"picture {number} of the sequence is damaged: its length is wrong"
            )
        return read_record(data[start:end], kind, number, self._head, self._mark, before)

    def _index(self, start: int) -> list[_Place] | None:
        data = self._data
        if len(data) < start + _END_BYTES or data[-4:].tobytes() != _END_MAGIC:
            return None
        size = int.from_bytes(data[-_END_BYTES:-4], "big")
        begin = len(data) - _END_BYTES - size
        if begin < start:
            return None
        try:
            index = verified(data[begin:-_END_BYTES].tobytes(), "the index", self._mark)
            count, at = read_varint(index, 1)
            sizes = []
            for _ in range(min(count, len(index))):
                told, at = read_varint(index, at)
                sizes.append(told)
        except BitstreamError:
            return None
        places = list(self._running(start, sizes))
        return places if places and places[-1].end == begin else None

    def _running(self, start: int, sizes: Iterable[int]) -> Iterator[_Place]:
        for told in sizes:
            predicted = self._head.version == PREDICTED and bool(told & 1)
            end = start + (told if self._head.version == VERSION else told >> 1)
            yield _Place(start, end, predicted)
            start = end

    def _scan(self, start: int) -> Iterator[_Place]:
        """The places of the pictures up to the first that is not whole."""
        number, before, at = 0, b"", start
        while at < len(self._data):
            try:
                kind, begin, end = bounds(self._data[at : at + 8].tobytes(), 0, self._head.version)
                begin, end = at + begin, at + end
                if end == begin or end > len(self._data):
                    return
                if kind != HEADER:
                    body = self._data[begin:end].tobytes()
                    read_record(body, kind, number, self._head, self._mark, before)
            except BitstreamError:
                return
            at = end
            if kind != HEADER:
                yield _Place(start, end, kind == FOLLOWS)
                before = self._data[end - CRC_BYTES : end].tobytes()
                start, number = end, number + 1


def shared_fields(packet: Packet) -> Packet:
    """The fields that all pictures of a sequence share."""
    return replace(packet, string=b"", predicted=False)


def record(packet: Packet, number: int, mark: bytes, before: bytes, version: int) -> bytes:
    """A picture's record: its length, its string, a checksum.

    The checksum counts the header's and the picture's number: pictures of another sequence, or out
    of order, do not match. That of a predicted picture also counts the one before it.
    """
    seen = before if packet.predicted else b""
    body = packet.string + crc(mark + seen + varint(number) + packet.string)
    kind = FOLLOWS if packet.predicted else KEY
    return varint(len(body) if version == VERSION else len(body) << 2 | kind) + body


def bounds(data: bytes, at: int, version: int) -> tuple[int, int, int]:
    """What the record at a place holds, and where that begins and ends.

    Raises:
        BitstreamError: If the record's length is cut off or no writer's.
    """
    told, start = read_varint(data, at)
    kind, length = (KEY, told) if version == VERSION else (told & 3, told >> 2)
    return kind, start, start + length


def read_record(
    body: bytes, kind: int, number: int, head: Head, mark: bytes, before: bytes
) -> Packet:
    """The packet in a record whose length was read.

    Raises:
        BitstreamError: If it is damaged.
    """
    string = body[:-CRC_BYTES]
    seen = before if kind == FOLLOWS else b""
    whole = len(body) >= CRC_BYTES and (kind == KEY or kind == FOLLOWS and bool(before))
    if not whole or crc(mark + seen + varint(number) + string) != body[-CRC_BYTES:]:
        raise BitstreamError(f"picture {number} of the sequence is damaged: wrong checksum")
    return replace(head.packet, string=string, predicted=kind == FOLLOWS)
