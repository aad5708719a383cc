"""The container: small, and every fault is told."""

import pytest

from vcm_mt.bitstream.container import MAX_SIDE, pack, unpack
from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

PACKET = Packet(427, 640, 3, b"\x01\x02\x03\x04", b"y" * 300, b"z" * 200)


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (65, 257), (MAX_SIDE, MAX_SIDE)])
def test_round_trip(size):
    packet = Packet(*size, 6, b"abcd", b"", b"z")
    assert unpack(pack(packet)) == packet
    assert unpack(pack(PACKET)) == PACKET


def test_overhead_is_small():
    overhead = len(pack(PACKET)) - len(PACKET.y_string) - len(PACKET.z_string)
    assert overhead <= 20


def test_every_truncation_is_told():
    data = pack(PACKET)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            unpack(data[:length])


def test_every_flipped_bit_is_told():
    data = pack(PACKET)
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(BitstreamError):
                unpack(bytes(flipped))


def test_what_is_wrong_is_named():
    data = pack(PACKET)
    newer = data[:3] + b"\x09" + data[4:]
    with pytest.raises(BitstreamError, match="version 9"):
        unpack(newer)
    with pytest.raises(BitstreamError, match="not a VCM bitstream"):
        unpack(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(BitstreamError, match="not a VCM bitstream"):
        unpack(b"")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "cannot be sent"),
        ({"width": MAX_SIDE + 1}, "cannot be sent"),
        ({"quality": 256}, "quality"),
        ({"transmitter": b"abc"}, "4 bytes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    fields = {**PACKET.__dict__, **changes}
    with pytest.raises(BitstreamError, match=message):
        pack(Packet(**fields))
