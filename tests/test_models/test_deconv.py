"""Transposed convolutions in less time: the last layers of g_s, and biases that learn."""

import copy

import pytest
import torch
from torch import nn

from vcm_mt.apis.pictures import read_picture
from vcm_mt.models.codec import build_codec
from vcm_mt.models.fast import deconv
from vcm_mt.models.fast.deconv import FastDeconv, SubpixelDeconv, fits_subpixel
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter


def _deconv(channels=16, out=3, **kwargs):
    torch.manual_seed(0)
    sizes = {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1} | kwargs
    return nn.ConvTranspose2d(channels, out, **sizes)


def _fast(plain, cls=FastDeconv):
    fast = copy.deepcopy(plain)
    fast.__class__ = cls
    return fast


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cls", [SubpixelDeconv, FastDeconv])
def test_it_is_the_transposed_convolution(bias, cls):
    plain = _deconv(bias=bias)
    fast = _fast(plain, cls)
    x = torch.randn(2, 16, 7, 9, requires_grad=True)
    wanted, actual = plain(x), fast(x)
    assert torch.allclose(actual, wanted, atol=1e-5)
    slope = torch.randn_like(wanted)
    for a, b in zip(
        torch.autograd.grad(wanted, [x, *plain.parameters()], slope),
        torch.autograd.grad(actual, [x, *fast.parameters()], slope),
        strict=True,
    ):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "kwargs", [{}, {"kernel_size": 3, "padding": 1}, {"groups": 4}, {"dilation": 2, "padding": 4}]
)
def test_a_bias_learns_as_pytorch_has_it_learn(kwargs):
    plain = _deconv(out=8, **kwargs)
    fast = _fast(plain)
    x = torch.randn(2, 16, 7, 9, requires_grad=True)
    for precision in ({"enabled": False}, {"dtype": torch.bfloat16}):
        with torch.autocast("cpu", **precision):
            wanted, actual = plain(x), fast(x)
        assert actual.dtype == wanted.dtype
        assert torch.equal(actual, wanted)
        slope = torch.randn_like(wanted)
        for a, b in zip(
            torch.autograd.grad(wanted, [x, *plain.parameters()], slope),
            torch.autograd.grad(actual, [x, *fast.parameters()], slope),
            strict=True,
        ):
            assert a.dtype == b.dtype
            close = 2**-6 if wanted.dtype == torch.bfloat16 else 1e-5
            assert (a - b).norm() <= close * a.norm()


def test_a_frozen_bias_takes_no_gradient():
    fast = _fast(_deconv(out=8))
    fast.bias.requires_grad_(False)
    fast(torch.randn(1, 16, 7, 9)).sum().backward()
    assert fast.bias.grad is None
    assert fast.weight.grad is not None


def test_a_codec_has_fast_layers_where_its_own_are_transposed():
    codec = build_codec("MeanScaleHyperprior", N=16, M=12)
    kinds = [type(m) for m in codec.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert kinds == [FastDeconv] * 3 + [SubpixelDeconv] + [FastDeconv] * 2


def test_other_layers_are_left_alone():
    assert fits_subpixel(_deconv())
    assert not fits_subpixel(_deconv(out=64))
    assert not fits_subpixel(_deconv(kernel_size=3))
    assert not fits_subpixel(_deconv(output_padding=0))
    assert not fits_subpixel(nn.Conv2d(16, 3, 5))


@pytest.mark.parametrize("strip", [1, 3 * 16 * 9, 1 << 20])
def test_strips_make_the_same_picture(strip, monkeypatch):
    monkeypatch.setattr(deconv, "_STRIP", strip)
    g_s = build_codec("MeanScaleHyperprior", N=16, M=12).g_s.eval()
    gdn, last = g_s[-2:]
    assert isinstance(gdn, FastGDN)
    assert isinstance(last, SubpixelDeconv)
    x = torch.randn(2, 16, 7, 9).to(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = last(gdn(x.clone()))
        assert torch.allclose(last.behind(gdn, x.clone()), wanted, atol=1e-6)


@pytest.mark.parametrize("arch", ["bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor"])
def test_a_receiver_decodes_what_g_s_makes(arch):
    torch.manual_seed(0)
    receiver = Receiver(build_codec(arch, quality=1).g_s).eval()
    channels = next(m for m in receiver.g_s.modules() if hasattr(m, "in_channels")).in_channels
    y_hat = torch.randn(1, channels, 2, 3)
    with torch.no_grad():
        wanted = receiver.g_s(y_hat.clone()).clamp(0, 1)
        assert torch.allclose(receiver(y_hat.clone()), wanted, atol=1e-5)
        receiver.amp = True
        close = receiver(y_hat.clone())
        assert close.dtype == torch.float32
        assert torch.allclose(close, wanted, atol=0.02)


def test_bfloat16_moves_no_pixel_by_a_level(mini):
    codec = build_codec("MeanScaleHyperprior", N=48, M=96, checkpoint="zoo://mse_3")
    sender, receiver = Transmitter(codec).eval(), Receiver(codec.g_s).eval()
    sender.update_tables()
    for path in sorted((mini / "val").iterdir()):
        y_hat = sender.quantise(read_picture(path))
        with torch.no_grad():
            receiver.amp = False
            exact = receiver(y_hat)
            receiver.amp = True
            moved = (receiver(y_hat) - exact).abs().max()
        assert 0 < 255 * moved < 1
