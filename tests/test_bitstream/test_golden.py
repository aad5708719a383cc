"""Streams of an earlier day decode to the same latents, bit for bit."""

import json
from pathlib import Path

import pytest

from tests.golden.make import SIZES, digest_of_latent, digest_of_latents, prior
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.bitstream.sequence import SequenceReader
from vcm_mt.bitstream.stream import StreamReader

GOLDEN = Path(__file__).parent.parent / "golden"
LISTING = json.loads((GOLDEN / "golden.json").read_text())


@pytest.fixture
def receiver(device):
    return Receiver.load(GOLDEN / "codec.pth", device=device)


def test_the_fingerprint_is_what_it_was(device):
    transmitter = Transmitter.load(GOLDEN / "codec.pth", device=device)
    assert transmitter.fingerprint == LISTING["fingerprint"]


@pytest.mark.parametrize("name", list(SIZES))
def test_the_latent_is_what_it_was(receiver, name):
    stream = (GOLDEN / f"{name}.vcm").read_bytes()
    assert digest_of_latent(receiver, stream) == LISTING[name]
    assert receiver.decode(stream).shape[:2] == SIZES[name]


def test_the_predicted_pictures_are_what_they_were(receiver):
    receiver.prior = prior().to(next(receiver.synthesis.parameters()).device)
    reader = SequenceReader((GOLDEN / "video.vcm").read_bytes())
    assert reader.whole
    assert digest_of_latents(receiver, reader) == LISTING["video"]
    with (GOLDEN / "video.vcm").open("rb") as file:
        packets = list(StreamReader(file))
    assert packets == list(reader)
    kinds = [packet.predicted for packet in packets]
    assert 40 < sum(kinds) < 59  # the cut, and the key interval
