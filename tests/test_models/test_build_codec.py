"""CompressAI's codecs as they are taken into the system."""

import pytest
import torch
from compressai.layers import GDN
from compressai.models import MeanScaleHyperprior
from torch import nn

from vcm_mt.models.codec import build_codec
from vcm_mt.models.gdn import LeanGDN
from vcm_mt.models.precision import transformed


@pytest.fixture
def codecs():
    """The same weights in CompressAI's hands and in ours."""
    torch.manual_seed(0)
    ours = build_codec("MeanScaleHyperprior", N=8, M=12).eval()
    theirs = MeanScaleHyperprior(8, 12).eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("height", [64, 448])
def test_transforms_are_compressais(codecs, height, monkeypatch):
    monkeypatch.setattr("vcm_mt.models.gdn._CODING_STRIP", 8 * 160 * 32)  # several strips
    ours, theirs = codecs
    x = torch.rand(2, 3, height, 320)
    kept = x.clone()
    with torch.no_grad():
        assert torch.allclose(ours.g_a(x), theirs.g_a(x), atol=1e-5)
        y = torch.randn(2, 12, 8, 20)
        before = y.clone()
        assert torch.allclose(ours.g_s(y), theirs.g_s(y), atol=1e-5)
    assert torch.equal(x, kept)
    assert torch.equal(y, before)


def test_bfloat16_is_near(codecs):
    ours, theirs = codecs
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        quick, exact = transformed(ours.g_a, x, amp=True), theirs.g_a(x)
    assert quick.dtype == torch.float32
    assert 0 < (quick - exact).abs().max() < 0.02 * exact.abs().max()


def test_an_input_that_others_may_read_is_left_alone():
    class Codec(nn.Module):
        def __init__(self):
            super().__init__()
            self.alone = GDN(4)
            self.behind = nn.Sequential(nn.Conv2d(4, 4, 1), GDN(4))

    from vcm_mt.models.codec import _behind_convolutions

    codec = Codec()
    assert _behind_convolutions(codec) == {codec.behind[1]}
    codec.alone.__class__, codec.alone.own_input = LeanGDN, False
    x = torch.rand(1, 4, 8, 8)
    kept = x.clone()
    with torch.no_grad():
        assert not torch.equal(codec.alone(x), x)
    assert torch.equal(x, kept)
