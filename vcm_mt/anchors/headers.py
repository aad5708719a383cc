"""Parse streams as far as needed to tell headers from picture content."""

from __future__ import annotations

import re
import struct
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from vcm_mt.errors import AnchorError

#: Network abstraction layer units, by their types: coded slices, and for VVC the adaptation
#: parameter sets, which hold the adaptive loop filter's coefficients.
HEVC_CONTENT = range(32)  # ITU-T H.265, table 7-1
VVC_CONTENT = (*range(12), 17, 18)  # ITU-T H.266, table 5
#: Open bitstream units: frame header, tile group, frame (AV1 specification, 6.2.2).
AV1_CONTENT = (3, 4, 6)
JPEG_CONTENT = ("scan",)
WEBP_CONTENT = (b"VP8 ", b"VP8L", b"ALPH")
AVIF_CONTENT = (b"mdat",)

START_OF_SCAN = 0xDA


class Part(NamedTuple):
    """One stretch of a stream: what its format calls it, and its length."""

    kind: object
    num_bytes: int


def header_bytes(data: bytes, parts: Iterable[Part], content: Container[object]) -> int:
    """Bytes of a stream outside its picture content.

    Args:
        data: The stream.
        parts: All of it, as one of the functions below takes it apart.
        content: The kinds of parts that are picture content.

    Raises:
        AnchorError: The parts do not make up the stream, or hold no content.
    """
    try:
        parts = list(parts)
    except (IndexError, struct.error):
        parts = []  # it ends inside a header
    inside = sum(part.num_bytes for part in parts if part.kind in content)
    if not inside or sum(part.num_bytes for part in parts) != len(data):
        raise AnchorError("the stream is cut or of another codec: no whole picture is in it")
    return len(data) - inside


def hevc_units(data: bytes) -> Iterator[Part]:
    """NAL units of a raw HEVC stream (ITU-T H.265, annex B), start codes included."""
    for start, end, unit in _start_codes(data):
        yield Part(data[unit] >> 1 & 63, end - start)


def vvc_units(data: bytes) -> Iterator[Part]:
    """NAL units of a raw VVC stream (ITU-T H.266, annex B), start codes included."""
    for start, end, unit in _start_codes(data):
        yield Part(data[unit + 1] >> 3, end - start)


def av1_units(data: bytes) -> Iterator[Part]:
    """Open bitstream units of a raw AV1 stream, each with its header and size (5.3 there)."""
    start = 0
    while start < len(data):
        # A forbidden bit, 4 of type, extended, sized, a reserved bit; here all units are sized.
        if data[start] & 0b10000011 != 0b10:
            return
        size, position = _leb128(data, start + (2 if data[start] & 4 else 1))
        yield Part(data[start] >> 3 & 15, position + size - start)
        start = position + size


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """Segments of a baseline JPEG by their markers, and its scan (ITU-T T.81, annex B)."""
    yield Part("start", 2)
    position, marker = 2, None
    while marker != START_OF_SCAN:
        prefix, marker, length = struct.unpack_from(">BBH", data, position)
        if prefix != 0xFF:
            return
        yield Part(marker, 2 + length)
        position += 2 + length
    yield Part("scan", len(data) - 2 - position)
    yield Part("end", 2)


def webp_chunks(data: bytes) -> Iterator[Part]:
    """Chunks of a WebP file, their headers apart (RFC 9649, 2.3)."""
    yield Part("file", 12)
    position = 12
    while position < len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        yield Part("header", 8)
        yield Part(kind, size)
        yield Part("padding", size % 2)
        position += 8 + size + size % 2


def avif_boxes(data: bytes) -> Iterator[Part]:
    """Boxes of an AVIF file, the outermost, their headers apart (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        elif size == 0:  # to the end of the file
            size = len(data) - position
        if size < header:
            return
        yield Part("header", header)
        yield Part(kind, size - header)
        position += size


def _start_codes(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Of each NAL unit: its begin with the start code, its end, and where its header is."""
    codes = list(re.finditer(rb"\x00{2,}\x01", data))
    bounds = [code.start() for code in codes] + [len(data)]
    for code, end in zip(codes, bounds[1:], strict=True):
        yield code.start(), end, code.end()


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
