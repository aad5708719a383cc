"""Packet <-> bytes: the only definition of how many bits a picture takes.

Layout, in this order; a *varint* is an unsigned LEB128 number:

    magic "VCM"   3 bytes
    version       1 byte, 1
    transmitter   4 bytes, start of its fingerprint
    quality       1 byte
    height        varint, pixels
    width         varint, pixels
    len(z)        varint, bytes
    z string
    y string      up to the checksum
    CRC-32        4 bytes, big endian, of all that precedes
"""

from __future__ import annotations

import zlib

from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

MAGIC = b"VCM"
VERSION = 1
FINGERPRINT_BYTES = 4

#: Largest side that is accepted, so that a hostile header cannot ask for all memory.
MAX_SIDE = 1 << 15

_FIXED_BYTES = len(MAGIC) + 1 + FINGERPRINT_BYTES + 1
_CRC_BYTES = 4


def pack(packet: Packet) -> bytes:
    """Write a packet as the bytes that would be sent.

    Raises:
        BitstreamError: When a field does not fit the layout.
    """
    if not (1 <= packet.height <= MAX_SIDE and 1 <= packet.width <= MAX_SIDE):
        raise BitstreamError(
            f"a picture of {packet.height}x{packet.width} pixels cannot be sent: "
            f"each side must be 1 to {MAX_SIDE}"
        )
    if not 0 <= packet.quality <= 255:
        raise BitstreamError(f"quality must be 0 to 255, not {packet.quality}")
    if len(packet.transmitter) != FINGERPRINT_BYTES:
        raise BitstreamError(f"a transmitter's mark has {FINGERPRINT_BYTES} bytes")
    body = b"".join(
        (
            MAGIC,
            bytes((VERSION,)),
            packet.transmitter,
            bytes((packet.quality,)),
            _varint(packet.height),
            _varint(packet.width),
            _varint(len(packet.z_string)),
            packet.z_string,
            packet.y_string,
        )
    )
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "big")


def unpack(data: bytes) -> Packet:
    """Read back what :func:`pack` wrote.

    Raises:
        BitstreamError: When the bytes are not a whole and undamaged packet of this version.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise BitstreamError("not a VCM bitstream: the magic number is missing")
    if len(data) < _FIXED_BYTES + _CRC_BYTES:
        raise BitstreamError("the bitstream is truncated: it ends within its header")
    version = data[len(MAGIC)]
    if version != VERSION:
        raise BitstreamError(
            f"the bitstream has version {version}, this program reads version {VERSION}: "
            "update vcm_mt"
        )
    body, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if zlib.crc32(body).to_bytes(_CRC_BYTES, "big") != crc:
        raise BitstreamError("the bitstream is damaged or truncated: its checksum does not match")
    transmitter = body[len(MAGIC) + 1 : _FIXED_BYTES - 1]
    quality = body[_FIXED_BYTES - 1]
    height, at = _read_varint(body, _FIXED_BYTES)
    width, at = _read_varint(body, at)
    z_length, at = _read_varint(body, at)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise BitstreamError(f"the bitstream claims an impossible size, {height}x{width}")
    if at + z_length > len(body):
        raise BitstreamError("the bitstream claims a longer z string than it holds")
    return Packet(
        height, width, quality, transmitter, body[at + z_length :], body[at : at + z_length]
    )


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
            raise BitstreamError("the bitstream is truncated: it ends within its header")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BitstreamError("the bitstream holds a number that is too long")
