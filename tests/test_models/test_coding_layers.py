"""A codec's large convolutions when coding: the same maps, and the old way where it must be."""

import pytest
import torch
from torch import nn

from vcm_mt.models.codec import build_codec
from vcm_mt.models.fast import winograd
from vcm_mt.models.fast.winograd import is_fast, products_of
from vcm_mt.models.receivers import Receiver


@pytest.fixture
def everywhere(monkeypatch):
    """Take it for small layers and maps too."""
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "LEAST_PLACES", 1)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return build_codec("MeanScaleHyperprior", N=8, M=12).eval()


@pytest.mark.usefixtures("everywhere")
def test_transforms_give_what_their_layers_give(codec, monkeypatch):
    torch.manual_seed(1)
    receiver = Receiver(codec.g_s).eval().to(memory_format=torch.channels_last)
    x, y_hat = torch.rand(2, 3, 96, 160), 4 * torch.randn(2, 12, 6, 10)
    with torch.no_grad():
        actual = codec.g_a(x), receiver(y_hat)
        assert "_products" in vars(codec.g_a[2])
        assert "_products" in vars(codec.g_s[4])
        monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1000)
        wanted = codec.g_a(x), receiver(y_hat)
    for one, other in zip(actual, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pictures", [1, 2])
def test_maps_do_not_hang_on_the_number_of_threads(codec, threads, pictures):
    torch.manual_seed(1)
    x, y_hat = torch.rand(pictures, 3, 64, 112), 4 * torch.randn(pictures, 12, 4, 7)
    before = torch.get_num_threads()
    try:
        with torch.no_grad():
            torch.set_num_threads(1)
            wanted = codec.g_a(x), codec.g_s(y_hat)
            torch.set_num_threads(threads)
            actual = codec.g_a(x), codec.g_s(y_hat)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(actual, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_either_mode_without_gradients(codec, mode):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with mode():
            assert codec.g_s(torch.randn(1, 12, 4, 7)).shape == (1, 3, 64, 112)
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("everywhere")
def test_memory_that_is_kept_serves_both_modes(codec):
    x = torch.rand(1, 3, 256, 192)
    with torch.inference_mode():
        wanted = codec.g_a(x).clone()
    with torch.no_grad():
        again = codec.g_a(x)
        assert torch.equal(again, wanted)
        codec.g_a(x + 1)  # what was returned is not written again
        assert torch.equal(again, wanted)


@pytest.mark.usefixtures("everywhere")
def test_kernels_follow_the_weights():
    layer = nn.Conv2d(4, 6, 5, 2, 2)
    x = torch.randn(1, 4, 20, 20)
    with torch.no_grad():
        assert torch.allclose(products_of(layer)(x), layer(x), atol=1e-5)
        assert products_of(layer) is products_of(layer)
        layer.weight.mul_(2)
        assert torch.allclose(products_of(layer)(x), layer(x), atol=1e-5)
        layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()})
        assert torch.allclose(products_of(layer)(x), layer(x), atol=1e-4)


@pytest.mark.usefixtures("everywhere")
def test_layers_and_moments_it_is_not_for():
    x = torch.randn(1, 4, 20, 20)
    fits = nn.Conv2d(4, 4, 5, 2, 2)
    assert not is_fast(x, fits)  # a gradient may be asked for
    others = [
        nn.Conv2d(4, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 5, 1, 2),
        nn.Conv2d(4, 4, 5, 2, 1),
        nn.Conv2d(4, 4, 5, 2, 2, groups=2),
        nn.Conv2d(4, 4, 5, 2, 2, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 4, 5, 2, 2, 0),
    ]
    with torch.no_grad():
        assert is_fast(x, fits)
        assert is_fast(x, nn.ConvTranspose2d(4, 4, 5, 2, 2, 1))
        assert not any(is_fast(x, layer) for layer in others)
        assert not is_fast(x.double(), fits)
        assert not is_fast(x, fits.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert not is_fast(x, nn.Conv2d(4, 4, 5, 2, 2))
