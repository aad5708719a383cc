"""Packets <-> bytes: the file format, and the definition of how many bits a picture takes.

``docs/bitstream.md`` describes the layout. A ``.vcm`` file contains one picture, or a sequence of
pictures of equal size with an index at its end. Every part has a CRC-32C checksum. No memory is
allocated for sizes that only a header claims.
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

#: Largest side and largest picture, so that a damaged header cannot request all memory.
MAX_SIDE = 1 << 16
MAX_PIXELS = 1 << 27

#: The highest bit of the version byte distinguishes pictures and sequences.
_PICTURE, _SEQUENCE = 0x00, 0x80
_CRC_BYTES = 4
_FIXED_BYTES = len(MAGIC) + 1 + FINGERPRINT_BYTES + 1
_END_BYTES = 8
_END_MAGIC = b"VCMI"


def pack(packet: Packet) -> bytes:
    """Serialise one picture.

    Raises:
        BitstreamError: If a field is out of range.
    """
    return _checked(_header(packet, _PICTURE) + packet.string)


def unpack(data: bytes) -> Packet:
    """Parse the output of :func:`pack`.

    Raises:
        BitstreamError: If the bytes are not one complete and undamaged picture of this version.
    """
    if _kind(data) == _SEQUENCE:
        raise BitstreamError("the bitstream is a sequence: open it with SequenceReader")
    body = _verified(data, "the bitstream")
    header, at = _read_header(body)
    return replace(header, string=body[at:])


def is_sequence(data: bytes) -> bool:
    """Whether a file with this beginning is a sequence.

    Raises:
        BitstreamError: If it is not a VCM bitstream of this version.
    """
    return _kind(data) == _SEQUENCE


class SequenceWriter:
    """Writes a sequence of pictures of equal size.

    :meth:`close` writes the index. Without it, :class:`SequenceReader` still finds all pictures.

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
        self._first: Packet | None = None
        self._mark = b""
        self._lengths: list[int] = []

    def write(self, packet: Packet) -> None:
        """Append a picture.

        Raises:
            BitstreamError: If its size, quality or transmitter differ from the first picture's.
        """
        if self._first is None:
            header = _header(packet, _SEQUENCE) + _varint(self._fps[0]) + _varint(self._fps[1])
            self._file.write(_checked(header))
            self._first, self._mark = packet, _crc(header)
        if _signature(packet) != _signature(self._first):
            raise BitstreamError(
                f"picture {len(self._lengths)} differs in transmitter, size or quality from the "
                "first picture of its sequence"
            )
        record = _record(self._mark, len(self._lengths), packet.string)
        self._file.write(record)
        self._lengths.append(len(record))

    def close(self) -> None:
        """Write the index. The file stays open.

        Raises:
            BitstreamError: If no picture was written.
        """
        if self._first is None:
            raise BitstreamError("a sequence needs at least one picture")
        index = b"\0" + _varint(len(self._lengths)) + b"".join(map(_varint, self._lengths))
        index += _crc(self._mark + index)
        self._file.write(index + len(index).to_bytes(4, "big") + _END_MAGIC)


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
        start, end = self._places[number]
        string = _read_record(self._mark, self._data[start:end].tobytes(), number)
        return replace(self.header, string=string)

    def damaged(self) -> dict[int, BitstreamError]:
        """The errors of the pictures that cannot be read, by number."""
        errors = {}
        for number in range(len(self)):
            try:
                self[number]
            except BitstreamError as error:
                errors[number] = error
        return errors

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
        raise BitstreamError(
            f"a transmitter's mark has {FINGERPRINT_BYTES} bytes, not {len(packet.transmitter)}"
        )
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
    """Check that a picture of this size can be sent.

    Raises:
        BitstreamError: If it is too large, or has no pixels.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise BitstreamError(
            f"a picture of {height}x{width} pixels cannot be sent: a side may have 1 to "
            f"{MAX_SIDE} pixels, a picture up to {MAX_PIXELS}"
        )


def _kind(data: bytes) -> int:
    if data[: len(MAGIC)] != MAGIC:
        reason = "it is empty" if not data else "the magic number is missing"
        raise BitstreamError(f"not a VCM bitstream: {reason}")
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
    # The checksum includes those of the header and the picture's number: pictures of another
    # sequence, or out of order, do not match.
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
                break  # a longer form of a shorter number
            return value, at
    raise BitstreamError("the bitstream is damaged: it contains a number that no writer writes")
