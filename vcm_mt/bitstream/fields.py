"""The fields that pictures and sequences consist of: the header, numbers, checksums."""

from __future__ import annotations

import google_crc32c

from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

MAGIC = b"VCM"
#: The version of pictures, and of sequences without predicted pictures.
VERSION = 1
#: The version of sequences with predicted pictures.
PREDICTED = 2
FINGERPRINT_BYTES = 4
CRC_BYTES = 4

#: Largest side and largest picture, so that a damaged header cannot request all memory.
MAX_SIDE = 1 << 16
MAX_PIXELS = 1 << 27

#: The highest bit of the version byte distinguishes pictures and sequences.
PICTURE, SEQUENCE = 0x00, 0x80
FIXED_BYTES = len(MAGIC) + 1 + FINGERPRINT_BYTES + 1


def header(packet: Packet, kind: int, version: int = VERSION) -> bytes:
    """The fields at the beginning of a picture or sequence.

    Raises:
        BitstreamError: If a field is out of range.
    """
    check_size(packet.height, packet.width)
    if not 0 <= packet.quality <= 255:
        raise BitstreamError(f"quality must be 0 to 255, not {packet.quality}")
    if len(packet.transmitter) != FINGERPRINT_BYTES:
        raise BitstreamError(
            f"a transmitter's mark has {FINGERPRINT_BYTES} bytes, not {len(packet.transmitter)}"
        )
    fixed = MAGIC + bytes((version | kind,)) + packet.transmitter + bytes((packet.quality,))
    return fixed + varint(packet.height) + varint(packet.width)


def read_header(data: bytes) -> tuple[Packet, int]:
    """The output of :func:`header` as a packet without its string, and where it ends.

    Raises:
        BitstreamError: If the bytes are too few, or a size is out of range.
    """
    if len(data) < FIXED_BYTES:
        raise BitstreamError("the bitstream is truncated: it ends within its header")
    height, at = read_varint(data, FIXED_BYTES)
    width, at = read_varint(data, at)
    check_size(height, width)
    transmitter = data[FIXED_BYTES - 1 - FINGERPRINT_BYTES : FIXED_BYTES - 1]
    return Packet(height, width, data[FIXED_BYTES - 1], transmitter, b""), at


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


def version_of(data: bytes) -> tuple[int, int]:
    """The version of a bitstream with this beginning, and ``PICTURE`` or ``SEQUENCE``.

    Raises:
        BitstreamError: If it is not a VCM bitstream of a version that this program reads.
    """
    if data[: len(MAGIC)] != MAGIC:
        reason = "it is empty" if not data else "the magic number is missing"
        raise BitstreamError(f"not a VCM bitstream: {reason}")
    if len(data) == len(MAGIC):
        raise BitstreamError("the bitstream is truncated: it ends within its header")
    version, kind = data[len(MAGIC)] & 0x7F, data[len(MAGIC)] & 0x80
    if version != VERSION and (version, kind) != (PREDICTED, SEQUENCE):
        raise BitstreamError(
            f"the bitstream has version {version}, this program reads pictures of version "
            f"{VERSION} and sequences up to version {PREDICTED}: update vcm_mt"
        )
    return version, kind


def crc(data: bytes) -> bytes:
    """CRC-32C, big endian."""
    return int(google_crc32c.value(data)).to_bytes(CRC_BYTES, "big")


def checked(body: bytes) -> bytes:
    """The bytes, and their checksum."""
    return body + crc(body)


def verified(data: bytes, what: str, mark: bytes = b"") -> bytes:
    """The bytes without the checksum at their end, which counts ``mark`` before them.

    Raises:
        BitstreamError: If the checksum does not match.
    """
    body = data[:-CRC_BYTES]
    if len(data) < CRC_BYTES or crc(mark + body) != data[-CRC_BYTES:]:
        raise BitstreamError(f"{what} is damaged or truncated: its checksum does not match")
    return body


def varint(value: int) -> bytes:
    """A number as unsigned LEB128 in its shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends.

    Raises:
        BitstreamError: If it is cut off, has more than 35 bits, or is not in its shortest form.
    """
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
