"""GDN trains as CompressAI's does."""

import pytest
import torch
from compressai.layers import GDN

from vcm_mt.models.fast.gdn import FastGDN


def _gradients(gdn, x, weight):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = gdn(x)
    (y.float() * weight).sum().backward()
    actual = {"y": y, "x": x.grad, "gamma": gdn.gamma.grad, "beta": gdn.beta.grad}
    gdn.zero_grad()
    return actual


@pytest.fixture(params=[False, True], ids=["gdn", "inverse"])
def pair(request, monkeypatch):
    monkeypatch.setattr("vcm_mt.models.fast.gdn._STRIP", 12 * 10)  # several strips, one short
    torch.manual_seed(0)
    theirs, ours = (GDN(12, inverse=request.param) for _ in range(2))
    theirs.gamma.data += 0.05 * torch.rand(12, 12)
    ours.load_state_dict(theirs.state_dict())
    ours.__class__ = FastGDN
    return theirs, ours


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_compressais(pair, memory_format):
    theirs, ours = pair
    x, weight = torch.randn(2, 2, 12, 7, 9)
    expected = _gradients(theirs, x, weight)
    actual = _gradients(ours, x.contiguous(memory_format=memory_format), weight)
    for name, value in expected.items():
        scale = value.abs().max().item()
        assert torch.allclose(actual[name], value, rtol=0, atol=2e-6 * scale), name


def test_where_bfloat16_comes_next_it_stays_as_close_as_that_can_tell(pair):
    _, ours = pair
    x, weight = torch.randn(2, 1, 12, 7, 9).bfloat16()
    expected = _gradients(ours, x.float(), weight.float())
    with torch.autocast("cpu", torch.bfloat16):
        actual = _gradients(ours, x, weight.float())
    assert actual["y"].dtype == torch.bfloat16  # what the next convolution takes
    for name, value in expected.items():
        difference = (actual[name].float() - value).norm() / value.norm()
        assert difference < 2**-7, name  # of bfloat16's last place


def test_what_is_frozen_takes_no_gradient_but_passes_it_on(pair):
    _, ours = pair
    x, weight = torch.randn(2, 1, 12, 7, 9)
    expected = _gradients(ours, x, weight)
    ours.requires_grad_(False)
    actual = _gradients(ours, x, weight)
    assert torch.equal(actual["x"], expected["x"])
    assert actual["gamma"] is None
    assert actual["beta"] is None
