"""Packets <-> bytes: the file format, and the definition of how many bits a picture takes.

``docs/bitstream.md`` describes the layout. A ``.vcm`` file contains one picture, or a sequence of
pictures of equal size, see :mod:`vcm_mt.bitstream.sequence`. Every part has a CRC-32C checksum. No
memory is allocated for sizes that only a header claims.
"""

from __future__ import annotations

from dataclasses import replace

from vcm_mt.bitstream.fields import (
    PICTURE,
    SEQUENCE,
    checked,
    header,
    read_header,
    verified,
    version_of,
)
from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet


def pack(packet: Packet) -> bytes:
    """Serialise one picture.

    Raises:
        BitstreamError: If a field is out of range.
    """
    return checked(header(packet, PICTURE) + packet.string)


def unpack(data: bytes) -> Packet:
    """Parse the output of :func:`pack`.

    Raises:
        BitstreamError: If the bytes are not one complete and undamaged picture of this version.
    """
    if is_sequence(data):
        raise BitstreamError("the bitstream is a sequence: open it with SequenceReader")
    body = verified(data, "the bitstream")
    packet, at = read_header(body)
    return replace(packet, string=body[at:])


def is_sequence(data: bytes) -> bool:
    """Whether a file with this beginning is a sequence.

    Raises:
        BitstreamError: If it is not a VCM bitstream of a version that this program reads.
    """
    return version_of(data)[1] == SEQUENCE
