"""Anchors on whole sequences."""

import subprocess

import numpy as np
import pytest
from skimage import data

from vcm_mt.anchors import ffmpeg, make_sequence_anchor
from vcm_mt.errors import AnchorError, MeasurementError

HEIGHT, WIDTH = 65, 95


@pytest.fixture(scope="module")
def frames():
    """A view that moves over a photograph, two pixels a picture."""
    picture = data.astronaut()
    return [picture[100 : 100 + HEIGHT, at : at + WIDTH] for at in range(100, 122, 2)]


@pytest.mark.parametrize("codec", ["vvc", "hevc", "av1"])
def test_prediction_saves_bits_and_pictures_come_in_order(codec, frames):
    sizes = {}
    fast = {"vvc": ":faster", "hevc": "", "av1": ":8"}[codec]
    for mode in ("intra", "ra", "ld"):
        anchor = make_sequence_anchor(f"{codec}-{mode}{fast}")
        qp = anchor.qualities[3]
        stream = anchor.encode(frames, qp)
        assert stream == anchor.encode(frames, qp)
        decoded = anchor.decode(stream, HEIGHT, WIDTH)
        assert len(decoded) == len(frames)
        for shown, frame in zip(decoded, frames, strict=True):
            assert shown.shape == frame.shape
            assert np.square(shown.astype(float) - frame).mean() < 300  # 23 dB
        assert 0 < anchor.header_bytes(stream) < len(stream)
        sizes[mode] = len(stream)
    assert sizes["ra"] < 0.8 * sizes["intra"]
    assert sizes["ld"] < 0.8 * sizes["intra"]


def test_records_tell_modes_apart():
    records = [make_sequence_anchor(f"vvc-{mode}").record for mode in ("ra", "ld", "intra")]
    assert len({record.fingerprint for record in records}) == 3
    assert records[0].name == "VVC (VVenC), random access"


def test_the_quickest_preset_has_b_pictures_as_well(frames):
    anchor = make_sequence_anchor("hevc-ra:ultrafast")
    assert len(anchor.decode(anchor.encode(frames, 37), HEIGHT, WIDTH)) == len(frames)


def test_an_encoder_that_gives_nothing_back_is_asked_again(frames, monkeypatch):
    """libvvenc does so once in some hundred sequences; one that never does is told of."""
    anchor = make_sequence_anchor("vvc-intra:faster")
    wanted, real, silent = anchor.encode(frames, 47), ffmpeg.call, []

    def call(command, data=b"", **more):
        if len(silent) < times:
            silent.append(command)
            return subprocess.CompletedProcess(command, 0, b"", b"")
        return real(command, data, **more)

    monkeypatch.setattr(ffmpeg, "call", call)
    times = 2
    assert anchor.encode(frames, 47) == wanted
    silent, times = [], 9
    with pytest.raises(AnchorError, match="ffmpeg failed when coding 11 pictures"):
        anchor.encode(frames, 47)


def test_what_is_refused(frames):
    anchor = make_sequence_anchor("hevc-ld")
    with pytest.raises(MeasurementError, match="one size"):
        anchor.encode([frames[0], frames[1][:40]], 37)
    with pytest.raises(MeasurementError, match="one picture or more"):
        anchor.encode([], 37)
    with pytest.raises(MeasurementError, match="QP of 0 to 51"):
        anchor.encode(frames, 60)
    with pytest.raises(MeasurementError, match="known are vvc-ra, vvc-ld, vvc-intra"):
        make_sequence_anchor("vvc-fast")
    with pytest.raises(AnchorError, match="size that was encoded"):
        anchor.decode(anchor.encode(frames[:1], 37), HEIGHT + 4, WIDTH)
