"""How VTM is called on sequences, by stand-ins; and the real one where its variables are set."""

import os

import numpy as np
import pytest
from skimage import data

from tests.test_anchors.helpers import psnr
from tests.test_anchors.vtm import VTM_SEQUENCES, VTM_VARIABLES
from vcm_mt.anchors import make_sequence_anchor, make_sweep
from vcm_mt.errors import AnchorError, MeasurementError

HEIGHT, WIDTH = 65, 95


@pytest.fixture(scope="module")
def frames():
    picture = data.astronaut()
    return [picture[100 : 100 + HEIGHT, at : at + WIDTH] for at in range(100, 118, 2)]


@pytest.fixture
def installed(vtm_files, tmp_path, monkeypatch):
    """VTM's variables, with a configuration a mode."""
    for variable, path in zip(VTM_VARIABLES[:2], vtm_files[:2], strict=True):
        monkeypatch.setenv(variable, str(path))
    for mode, told in (("ra", "random access"), ("ld", "low delay"), ("intra", "intra")):
        cfg = tmp_path / f"{mode}.cfg"
        cfg.write_text(f"# {told}\nProfile : main_10\n")
        monkeypatch.setenv(VTM_SEQUENCES[mode], str(cfg))


def test_sequences_go_through_and_prediction_saves_bits(installed, frames):
    sizes = {}
    for mode in VTM_SEQUENCES:
        anchor = make_sequence_anchor(f"vtm-{mode}", 32)
        stream = anchor.encode(frames, 37, 50)
        decoded = anchor.decode(stream, HEIGHT, WIDTH)
        assert len(decoded) == len(frames)
        assert all(psnr(*pair) > 23 for pair in zip(frames, decoded, strict=True))
        assert 0 < anchor.header_bytes(stream) < len(stream)
        sizes[mode] = len(stream)
    assert max(sizes["ra"], sizes["ld"]) < 0.8 * sizes["intra"]


def test_records_tell_modes_and_periods_apart(installed):
    made = [make_sequence_anchor("vtm-ra", period) for period in (32, 64)]
    made += [make_sequence_anchor(f"vtm-{mode}") for mode in ("ld", "intra")]
    assert len({anchor.record.fingerprint for anchor in made}) == 4
    assert made[0].record.name == "VVC (VTM), random access"
    assert "--IntraPeriod=32" in made[0].record.options
    assert not any(option in ("-f", "-fr") for option in made[0].record.options)
    title, anchor, qualities = make_sweep("vtm-ra@22,27")
    assert title == "vtm-ra" and qualities == (22, 27)
    assert anchor.record == made[1].record  # 64 by default


def test_vvencs_period_is_an_option_too():
    periods = [make_sequence_anchor("vvc-ra", period).record.options for period in (32, 64)]
    assert "IntraPeriod=32:GOPSize=32" in periods[0]
    assert make_sequence_anchor("vvc-ra").record.options == periods[1]


def test_what_is_refused(installed, monkeypatch):
    with pytest.raises(MeasurementError, match="VTM has no presets"):
        make_sequence_anchor("vtm-ra:slow")
    monkeypatch.delenv("VCM_MT_VTM_CFG_LD")
    with pytest.raises(AnchorError, match="set VCM_MT_VTM_CFG_LD to VTM's cfg/encoder_lowdelay"):
        make_sequence_anchor("vtm-ld")


@pytest.mark.skipif("VCM_MT_VTM_CFG_RA" not in os.environ, reason="VTM is not bundled")
def test_real_vtm(frames):
    anchor = make_sequence_anchor("vtm-ra", 32)
    decoded = anchor.decode(anchor.encode(frames, 32, 50), HEIGHT, WIDTH)
    assert np.mean([psnr(*pair) for pair in zip(frames, decoded, strict=True)]) > 30
