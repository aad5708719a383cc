"""The container: small, and every fault is told."""

import io
from dataclasses import replace

import pytest

from vcm_mt.bitstream.container import is_sequence, pack, unpack
from vcm_mt.bitstream.fields import MAX_PIXELS, MAX_SIDE
from vcm_mt.bitstream.sequence import SequenceReader, SequenceWriter
from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet

PACKET = Packet(427, 640, 3, b"\x01\x02\x03\x04", b"zy" * 250)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2000), (65, 257), (MAX_SIDE, 2), (MAX_PIXELS // MAX_SIDE, MAX_SIDE)]
)
def test_round_trip(size):
    packet = Packet(*size, 6, b"abcd", b"")
    assert unpack(pack(packet)) == packet
    assert unpack(pack(PACKET)) == PACKET


def test_overhead_is_small():
    overhead = len(pack(PACKET)) - len(PACKET.string)
    assert overhead <= 17


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
    with pytest.raises(BitstreamError, match="it is empty"):
        unpack(b"")
    with pytest.raises(BitstreamError, match="checksum"):
        unpack(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BitstreamError, match="is a sequence"):
        unpack(_sequence(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "cannot be sent"),
        ({"width": MAX_SIDE + 1}, "cannot be sent"),
        ({"height": 2 * MAX_PIXELS // MAX_SIDE, "width": MAX_SIDE}, "cannot be sent"),
        ({"quality": 256}, "quality"),
        ({"transmitter": b"abc"}, "4 bytes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    fields = {**PACKET.__dict__, **changes}
    with pytest.raises(BitstreamError, match=message):
        pack(Packet(**fields))


def _pictures(count):
    return [replace(PACKET, string=bytes([i]) * (50 + 7 * i)) for i in range(count)]


def _sequence(count, closed=True):
    file = io.BytesIO()
    writer = SequenceWriter(file, fps=(30000, 1001))
    for packet in _pictures(count):
        writer.write(packet)
    if closed:
        writer.close()
    return file.getvalue()


#: Bytes of a sequence's header.
HEADER = len(_sequence(1, closed=False)) - (1 + len(_pictures(1)[0].string) + 4)


def test_a_sequence_gives_any_picture_alone():
    data = _sequence(100)
    assert is_sequence(data)
    assert not is_sequence(pack(PACKET))
    reader = SequenceReader(data)
    assert len(reader) == 100
    assert reader.whole
    assert reader.fps == (30000, 1001)
    pictures = _pictures(100)
    assert [reader[i] for i in (99, 0, 42, -1)] == [pictures[i] for i in (99, 0, 42, -1)]
    assert reader[10:13] == pictures[10:13]
    with pytest.raises(IndexError):
        reader[100]


def test_a_sequence_that_was_cut_gives_all_whole_pictures():
    pictures, data = _pictures(6), _sequence(6)
    ends = [len(_sequence(n, closed=False)) for n in range(1, 7)]
    for length in range(len(data)):
        whole = sum(end <= length for end in ends)
        if not whole:
            with pytest.raises(BitstreamError):
                SequenceReader(data[:length])
            continue
        reader = SequenceReader(data[:length])
        assert list(reader) == pictures[:whole]
        assert not reader.whole


def test_a_flipped_bit_in_a_sequence_costs_at_most_its_picture():
    pictures, data = _pictures(4), _sequence(4)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        try:
            reader = SequenceReader(bytes(damaged))
        except BitstreamError:
            continue
        for number in range(len(reader)):
            try:
                assert reader[number] == pictures[number]
            except BitstreamError as error:
                assert f"picture {number}" in str(error)  # noqa: PT017


def test_pictures_out_of_order_are_noticed():
    data = _sequence(2, closed=False)
    one, two = len(_sequence(1, closed=False)), len(data)
    swapped = data[:HEADER] + data[one:two] + data[HEADER:one]
    with pytest.raises(BitstreamError, match="cut off before its first"):
        SequenceReader(swapped)


@pytest.mark.parametrize("closed", [False, True])
def test_pictures_of_another_sequence_are_noticed(closed):
    """Records and index of one behind the header of another, which has as many bytes."""
    file = io.BytesIO()
    writer = SequenceWriter(file, fps=(30000, 1001))
    for packet in _pictures(3):
        writer.write(replace(packet, quality=PACKET.quality + 1))
    if closed:
        writer.close()
    with pytest.raises(BitstreamError, match="cut off before its first"):
        SequenceReader(_sequence(1)[:HEADER] + file.getvalue()[HEADER:])


def test_a_sequence_has_one_size_and_one_transmitter():
    writer = SequenceWriter(io.BytesIO())
    writer.write(PACKET)
    for other in (replace(PACKET, height=7), replace(PACKET, transmitter=b"aaaa")):
        with pytest.raises(BitstreamError, match="picture 1 differs"):
            writer.write(other)
    with pytest.raises(BitstreamError, match="at least one picture"):
        SequenceWriter(io.BytesIO()).close()
    with pytest.raises(BitstreamError, match="single picture"):
        SequenceReader(pack(PACKET))


def test_a_hostile_index_allocates_nothing():
    """An index that claims 2^34 pictures, with a fitting checksum."""
    from vcm_mt.bitstream.fields import crc

    body = _sequence(1, closed=False)
    index = b"\0" + b"\xff\xff\xff\xff\x3f" + b"\x05" * 3
    index += crc(body[HEADER - 4 : HEADER] + index)
    reader = SequenceReader(body + index + len(index).to_bytes(4, "big") + b"VCMI")
    assert not reader.whole
    assert len(reader) == 1
