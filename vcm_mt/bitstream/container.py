"""Packets <-> bytes: the only definition of how many bits a picture takes.

``docs/bitstream.md`` has the layout. A ``.vcm`` file holds one picture, or a sequence of pictures
of one size with an index at its end. Every part carries a CRC-32C; nothing is allocated on the
word of a header alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

import google_crc32c

from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

MAGIC = b"VCM"
VERSION = 1
FINGERPRINT_BYTES = 4

#: Largest side and largest picture that are accepted, so that a header cannot ask for all memory.
MAX_SIDE = 1 << 16
MAX_PIXELS = 1 << 27

#: The version byte's upper bit says what the file holds.
_PICTURE, _SEQUENCE = 0x00, 0x80
_CRC_BYTES = 4
_FIXED_BYTES = len(MAGIC) + 1 + FINGERPRINT_BYTES + 1
_END_BYTES = 8
_END_MAGIC = b"VCMI"


def pack(packet: Packet) -> bytes:
    """Write one picture as the bytes that would be sent.

    Raises:
        BitstreamError: When a field does not fit the layout.
    """
    return _checked(_header(packet, _PICTURE) + packet.string)


def unpack(data: bytes) -> Packet:
    """Read back what :func:`pack` wrote.

    Raises:
        BitstreamError: When the bytes are not one whole and undamaged picture of this version.
    """
    if _kind(data) == _SEQUENCE:
        raise BitstreamError("the bitstream is a sequence: open it with SequenceReader")
    body = _verified(data, "the bitstream")
    header, at = _read_header(body)
    return replace(header, string=body[at:])


def is_sequence(data: bytes) -> bool:
    """Whether a file that starts so holds a sequence.

    Raises:
        BitstreamError: When it is not a VCM bitstream of this version.
    """
    return _kind(data) == _SEQUENCE


class SequenceWriter:
    """Writes pictures of one size, one after another.

    Args:
        file: Opened for writing, binary.
        fps: Pictures per second, as a fraction (numerator, denominator); 0/1 for none.

    :meth:`close` writes the index; a file that was never closed keeps its pictures all the same.
    """

    def __init__(self, file: BinaryIO, fps: tuple[int, int] = (0, 1)) -> None:
        if fps[0] < 0 or fps[1] < 1:
            raise BitstreamError(f"{fps[0]}/{fps[1]} pictures a second are none")
        self._file = file
        self._fps = fps
        self._first: Packet | None = None
        self._mark = b""
        self._lengths: list[int] = []

    def write(self, packet: Packet) -> None:
        """Append a picture.

        Raises:
            BitstreamError: When its size, quality or transmitter are not the first one's.
        """
        if self._first is None:
            header = _header(packet, _SEQUENCE) + _varint(self._fps[0]) + _varint(self._fps[1])
            self._file.write(_checked(header))
            self._first, self._mark = packet, _crc(header)
        if _signature(packet) != _signature(self._first):
            raise BitstreamError(
                f"picture {len(self._lengths)} is another transmitter's or of another size or "
                "quality than the first of its sequence"
            )
        record = _record(self._mark, len(self._lengths), packet.string)
        self._file.write(record)
        self._lengths.append(len(record))

    def close(self) -> None:
        """Write the index. The file stays open.

        Raises:
            BitstreamError: When no picture was written.
        """
        if self._first is None:
            raise BitstreamError("a sequence needs at least one picture")
        index = b"\0" + _varint(len(self._lengths)) + b"".join(map(_varint, self._lengths))
        index += _crc(self._mark + index)
        self._file.write(index + len(index).to_bytes(4, "big") + _END_MAGIC)


class SequenceReader(Sequence[Packet]):
    """The pictures of a sequence, in any order.

    Args:
        data: The whole file.

    Attributes:
        fps: As the writer was told.
        size: Height and width of every picture.
        header: What all pictures have in common, as a packet without its string.
        whole: Whether the file has its index, that is, was closed and is not cut off. Without
            one, all undamaged pictures before the cut are there.

    Raises:
        BitstreamError: When the bytes are not a sequence, or are damaged before the first
            picture ends.
    """

    def __init__(self, data: bytes) -> None:
        if _kind(data) != _SEQUENCE:
            raise BitstreamError("the bitstream is a single picture: open it with unpack")
        self._data = memoryview(data)
        self.header, at = _read_header(data)
        numerator, at = _read_varint(data, at)
        denominator, at = _read_varint(data, at)
        self.fps = (numerator, denominator)
        self.size = (self.header.height, self.header.width)
        _verified(data[: at + _CRC_BYTES], "the sequence's header")
        start = at + _CRC_BYTES
        self._mark = data[at:start]
        found = self._index(start)
        self.whole = found is not None
        self._places = found if found is not None else list(self._scan(start))
        if not self._places:
            raise BitstreamError("the sequence is cut off before its first picture ends")

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._places)

    def __getitem__(self, number):
        """One picture, or several for a slice.

        Raises:
            BitstreamError: When the picture is damaged.
            IndexError: When there is no such picture.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        start, end = self._places[number]
        string = _read_record(self._mark, self._data[start:end].tobytes(), number)
        return replace(self.header, string=string)

    def damaged(self) -> dict[int, BitstreamError]:
        """What is the matter with the pictures that cannot be read, by number."""
        found = {}
        for number in range(len(self)):
            try:
                self[number]
            except BitstreamError as error:
                found[number] = error
        return found

    def _index(self, start: int) -> list[tuple[int, int]] | None:
        data = self._data
        if len(data) < start + _END_BYTES or data[-4:].tobytes() != _END_MAGIC:
            return None
        size = int.from_bytes(data[-_END_BYTES:-4], "big")
        begin = len(data) - _END_BYTES - size
        if begin < start:
            return None
        try:
            index = _verified(data[begin:-_END_BYTES].tobytes(), "the index", self._mark)
            count, at = _read_varint(index, 1)
            lengths = []
            for _ in range(min(count, len(index))):
                length, at = _read_varint(index, at)
                lengths.append(length)
        except BitstreamError:
            return None
        places = list(_running(start, lengths))
        return places if places and places[-1][1] == begin else None

    def _scan(self, start: int) -> Iterator[tuple[int, int]]:
        number = 0
        while start < len(self._data):
            try:
                length, at = _read_varint(self._data[start : start + 8].tobytes(), 0)
                end = start + at + length
                if length == 0 or end > len(self._data):
                    return
                _read_record(self._mark, self._data[start:end].tobytes(), number)
            except BitstreamError:
                return
            yield start, end
            start, number = end, number + 1


def _signature(packet: Packet) -> Packet:
    return replace(packet, string=b"")


def _header(packet: Packet, kind: int) -> bytes:
    check_size(packet.height, packet.width)
    if not 0 <= packet.quality <= 255:
        raise BitstreamError(f"quality must be 0 to 255, not {packet.quality}")
    if len(packet.transmitter) != FINGERPRINT_BYTES:
        raise BitstreamError(f"a transmitter's mark has {FINGERPRINT_BYTES} bytes")
    fixed = MAGIC + bytes((VERSION | kind,)) + packet.transmitter + bytes((packet.quality,))
    return fixed + _varint(packet.height) + _varint(packet.width)


def _read_header(data: bytes) -> tuple[Packet, int]:
    if len(data) < _FIXED_BYTES:
        raise BitstreamError("the bitstream is truncated: it ends within its header")
    height, at = _read_varint(data, _FIXED_BYTES)
    width, at = _read_varint(data, at)
    check_size(height, width)
    transmitter = data[_FIXED_BYTES - 1 - FINGERPRINT_BYTES : _FIXED_BYTES - 1]
    return Packet(height, width, data[_FIXED_BYTES - 1], transmitter, b""), at


def check_size(height: int, width: int) -> None:
    """Make sure that a picture is not too large to be sent.

    Raises:
        BitstreamError: When it is, or has no pixel.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise BitstreamError(
            f"a picture of {height}x{width} pixels cannot be sent: a side may have 1 to "
            f"{MAX_SIDE} pixels, a picture up to {MAX_PIXELS}"
        )


def _kind(data: bytes) -> int:
    if data[: len(MAGIC)] != MAGIC:
        said = "it is empty" if not data else "the magic number is missing"
        raise BitstreamError(f"not a VCM bitstream: {said}")
    if len(data) == len(MAGIC):
        raise BitstreamError("the bitstream is truncated: it ends within its header")
    version, kind = data[len(MAGIC)] & 0x7F, data[len(MAGIC)] & 0x80
    if version != VERSION:
        raise BitstreamError(
            f"the bitstream has version {version}, this program reads version {VERSION}: "
            "update vcm_mt"
        )
    return kind


def _record(mark: bytes, number: int, string: bytes) -> bytes:
    # The checksum counts the header's and the picture's number, so that another sequence's
    # pictures, and pictures out of order, are noticed.
    crc = _crc(mark + _varint(number) + string)
    return _varint(len(string) + _CRC_BYTES) + string + crc


def _read_record(mark: bytes, record: bytes, number: int) -> bytes:
    length, at = _read_varint(record, 0)
    if length < _CRC_BYTES or len(record) != at + length:
        raise BitstreamError(f"picture {number} of the sequence is damaged: its length is wrong")
    string = record[at:-_CRC_BYTES]
    if _crc(mark + _varint(number) + string) != record[-_CRC_BYTES:]:
        raise BitstreamError(f"picture {number} of the sequence is damaged: wrong checksum")
    return string


def _running(start: int, lengths: Iterable[int]) -> Iterator[tuple[int, int]]:
    for length in lengths:
        yield start, start + length
        start += length


def _crc(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "big")


def _checked(body: bytes) -> bytes:
    return body + _crc(body)


def _verified(data: bytes, what: str, mark: bytes = b"") -> bytes:
    body = data[:-_CRC_BYTES]
    if len(data) < _CRC_BYTES or _crc(mark + body) != data[-_CRC_BYTES:]:
        raise BitstreamError(f"{what} is damaged or truncated: its checksum does not match")
    return body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            raise BitstreamError("the bitstream is truncated: it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                break  # there is one way to write a number
            return value, at
    raise BitstreamError("the bitstream is damaged: it holds a number that no writer writes")
