"""Predicted pictures: what is encoded is decoded, to the last bit."""

import io

import pytest
import torch
from compressai.models import MeanScaleHyperprior

from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.predicted import SequenceDecoder, SequenceEncoder
from vcm_mt.bitstream.sequence import REPEAT, SequenceReader, SequenceWriter
from vcm_mt.bitstream.stream import StreamReader
from vcm_mt.bitstream.temporal import Past, TemporalPrior
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.structures import Packet

M = 24
KEY = Packet(64, 96, 3, b"abcd", b"a key picture", b"wxyz")


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(1)
    entropy = Hyperprior(MeanScaleHyperprior(16, M)).eval()
    prior = TemporalPrior(M, width=8)
    with torch.no_grad():
        for layer in (prior.linear, prior.body[-1]):
            layer.weight.add_(0.02 * torch.randn_like(layer.weight))
    entropy.update_tables()
    prior.update_tables()
    return entropy, prior


def walk(count, step=0.4, size=(8, 12)):
    """Latents of a video: each is the one before, a little changed."""
    torch.manual_seed(2)
    y = 3 * torch.randn(1, M, *size)
    for _ in range(count):
        yield y
        y = y + step * torch.randn_like(y)


def test_what_is_encoded_is_decoded_to_the_last_bit(parts):
    encoder, decoder = SequenceEncoder(*parts, key_interval=7), SequenceDecoder(*parts)
    kinds = []
    for y in walk(20):
        coded = encoder.encode(y)
        y_hat = decoder.decode(coded.string, coded.predicted, (2, 3))
        assert torch.equal(y_hat, coded.y_hat)
        assert (y_hat - y).abs().max() <= 0.5 + 1e-5
        kinds.append(coded.predicted)
    assert [n for n, predicted in enumerate(kinds) if not predicted] == [0, 7, 14]


def test_no_picture_is_longer_than_a_key_picture(parts):
    entropy, _ = parts
    encoder = SequenceEncoder(*parts)
    for y in walk(6, step=30.0):  # each picture is a cut
        assert len(encoder.encode(y).string) <= len(entropy.compress(y)[0])


def test_other_threads_and_batches_find_the_same_latents(parts):
    entropy, prior = parts
    first, second, y = walk(3)
    past = Past()
    past.restart(entropy.quantise(first))
    (alone,), y_hat = prior.compress(y, past.latents, entropy)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    both, y_hats = prior.compress(y.repeat(2, 1, 1, 1), past.latents.repeat(2, 1, 1, 1), entropy)
    torch.set_num_threads(threads)
    assert both == [alone, alone] and torch.equal(y_hats, y_hat.repeat(2, 1, 1, 1))


def test_the_prior_begins_as_the_picture_before():
    prior = TemporalPrior(M)
    past = torch.randn(1, 2 * M, 4, 4)
    scales, means = prior(past)
    assert torch.equal(means, past[:, :M]) and torch.equal(scales, torch.ones_like(means))


def test_gradients_reach_the_prior_and_the_latent(parts):
    entropy, _ = parts
    prior = TemporalPrior(M)
    first, y = walk(2)
    y.requires_grad_(True)
    y_hat, bits, *_ = prior.rounded(y, first.repeat(1, 2, 1, 1), entropy)
    (bits.sum() + y_hat.square().sum()).backward()
    assert y.grad.abs().sum() > 0
    assert all(p.grad is not None for p in prior.parameters())


def test_a_decoder_refuses_to_begin_in_the_middle(parts):
    decoder = SequenceDecoder(*parts)
    with pytest.raises(BitstreamError, match="needs a key picture"):
        decoder.decode(b"", True, (2, 3))
    with pytest.raises(ConfigError, match="1 or more"):
        SequenceEncoder(*parts, key_interval=0)
    with pytest.raises(BitstreamError, match="integer weights"):
        SequenceDecoder(parts[0], TemporalPrior(M))._prior.compress(
            torch.zeros(1, M, 4, 4), torch.zeros(1, 2 * M, 4, 4), parts[0]
        )


def written(kinds):
    packets = [
        Packet(64, 96, 3, b"abcd", b"string %d" % n, b"wxyz", predicted)
        for n, predicted in enumerate(kinds)
    ]
    file = io.BytesIO()
    writer = SequenceWriter(file, fps=(25, 1))
    for packet in packets:
        writer.write(packet)
    body = file.getvalue()
    writer.close()
    return packets, body, file.getvalue()


def kinds(count, interval):
    return [n % interval > 0 for n in range(count)]


@pytest.mark.parametrize("interval", [1, 5, 40])
def test_a_sequence_with_predicted_pictures(interval):
    packets, body, data = written(kinds(90, interval))
    for content, whole in ((data, True), (body, False)):
        reader = SequenceReader(content)
        assert list(reader) == packets and reader.whole == whole
        assert reader.fps == (25, 1) and reader.damaged() == {}
        assert [reader.key_of(n) for n in range(90)] == [n - n % interval for n in range(90)]


def test_the_header_comes_again():
    _, body, _ = written(kinds(90, 10))
    assert body.count(b"VCM\x82") == 1 + 80 // (10 * -(-REPEAT // 10))


def test_damage_costs_the_pictures_up_to_the_next_key():
    packets, _, data = written(kinds(20, 5))
    at = data.index(b"string 6") + 3
    damaged = data[:at] + b"?" + data[at + 1 :]
    reader = SequenceReader(damaged)
    assert sorted(reader.damaged()) == [6, 7, 8, 9]
    assert reader[10:] == packets[10:]


def test_every_flipped_bit_is_told_or_harmless():
    packets, _, data = written(kinds(4, 2))
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            try:
                reader = SequenceReader(bytes(flipped))
            except BitstreamError:
                continue
            lost = reader.damaged()
            known = [reader[n] for n in range(len(reader)) if n not in lost]
            assert all(packet in packets for packet in known)


def test_what_cannot_be_written():
    writer = SequenceWriter(io.BytesIO())
    with pytest.raises(BitstreamError, match="first picture"):
        writer.write(Packet(64, 96, 3, b"abcd", b"", b"wxyz", True))
    writer.write(KEY)
    with pytest.raises(BitstreamError, match="differs"):
        writer.write(Packet(64, 96, 3, b"abcd", b"", b"another"[:4]))


def streamed(data):
    reader = StreamReader(io.BytesIO(data))
    return reader, list(reader)


def test_a_stream_is_read_as_it_arrives():
    packets, body, data = written(kinds(90, 10))
    reader, found = streamed(data)
    assert found == packets and reader.whole and reader.head.fps == (25, 1)
    reader, found = streamed(body)  # its writer was stopped
    assert found == packets and not reader.whole
    reader, found = streamed(body[:-3])
    assert found == [*packets[:-1], None] and not reader.whole


def test_a_reader_joins_at_the_next_header():
    packets, _, data = written(kinds(90, 10))
    reader, found = streamed(data[300:])
    assert found == packets[40:] and reader.whole and reader.head.first == 40


def test_a_stream_goes_on_after_damage():
    packets, _, data = written(kinds(90, 10))
    at = data.index(b"string 23") + 3
    damaged = data[:at] + b"?" + data[at + 1 :]
    _, found = streamed(damaged)
    assert found == [*packets[:23], *[None] * 7, *packets[30:]]
    at = data.index(b"string 23") - 1  # its length
    damaged = data[:at] + b"\x7f" + data[at + 1 :]
    _, found = streamed(damaged)
    known = [packet for packet in found if packet is not None]
    assert None in found and known == [*packets[:23], *packets[40:]]


def test_a_stream_that_is_none():
    with pytest.raises(BitstreamError, match="no sequence begins"):
        streamed(b"VCM, but something else" * 100)
