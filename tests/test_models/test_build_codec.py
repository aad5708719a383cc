"""CompressAI's codecs as they are taken into the system."""

import pytest
import torch
from compressai.layers import GDN
from compressai.models import Cheng2020Anchor, Cheng2020Attention, MeanScaleHyperprior
from torch import nn

from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.fast.swap import behind_convolutions
from vcm_mt.models.precision import transformed
from vcm_mt.models.receivers import Receiver


@pytest.fixture
def codecs():
    """The same weights in CompressAI's hands and in ours."""
    torch.manual_seed(0)
    ours = build_codec("MeanScaleHyperprior", N=8, M=12).eval()
    theirs = MeanScaleHyperprior(8, 12).eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


#: Sizes of each architecture beside N.
MORE = {"MeanScaleHyperprior": {"M": 12}, "Cheng2020Anchor": {}}


def _fast_layers(codec):
    return {type(m).__name__ for m in codec.modules() if type(m).__module__.startswith("vcm_mt.")}


@pytest.mark.parametrize("arch", ["MeanScaleHyperprior", "Cheng2020Anchor"])
def test_without_fast_the_layers_are_compressais(arch):
    """But for strided 1x1 convolutions, which oneDNN cannot train."""
    plain, fast = (build_codec(arch, N=8, fast=fast, **MORE[arch]) for fast in (False, True))
    assert _fast_layers(plain) <= {"StridedPointwise"}
    assert _fast_layers(fast) > {"FastGDN", "FastConv"}
    plain.load_state_dict(fast.state_dict())
    y_hat = torch.randn(1, plain.M, 4, 6)
    with torch.no_grad():
        pictures = [Receiver(codec.g_s).eval()(y_hat.clone()) for codec in (plain, fast)]
    assert torch.allclose(*pictures, atol=1e-5)


@pytest.mark.parametrize("height", [64, 448])
def test_transforms_are_compressais(codecs, height, monkeypatch):
    monkeypatch.setattr("vcm_mt.models.fast.gdn._STRIP", 8 * 160 * 32)  # several strips
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
        rounded, exact = transformed(ours.g_a, x, amp=True), theirs.g_a(x)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.02 * exact.abs().max()


def test_an_input_that_others_may_read_is_left_alone():
    class Codec(nn.Module):
        def __init__(self):
            super().__init__()
            self.alone = GDN(4)
            self.behind = nn.Sequential(nn.Conv2d(4, 4, 1), GDN(4))

    codec = Codec()
    assert behind_convolutions(codec) == {codec.behind[1]}
    codec.alone.__class__, codec.alone.own_input = FastGDN, False
    x = torch.rand(1, 4, 8, 8)
    kept = x.clone()
    with torch.no_grad():
        assert not torch.equal(codec.alone(x), x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("arch", [Cheng2020Anchor, Cheng2020Attention])
def test_residual_blocks_are_compressais(arch):
    """GDN between the two ways of a block."""
    torch.manual_seed(0)
    ours = build_codec(arch.__name__, N=8).eval()
    theirs = arch(N=8).eval()
    theirs.load_state_dict(ours.state_dict())
    x, y = torch.rand(2, 3, 64, 192), torch.randn(2, 8, 4, 12)
    with torch.no_grad():
        assert torch.allclose(ours.g_a(x), theirs.g_a(x), atol=1e-5)
        assert torch.allclose(ours.g_s(y), theirs.g_s(y), atol=1e-5)


@pytest.mark.parametrize("arch", ["Cheng2020Anchor", "Cheng2020Attention"])
def test_gradients_are_the_same_in_either_layout(arch):
    """Channels last, PyTorch's own strided 1x1 convolutions break the heap or the gradient."""
    torch.manual_seed(0)
    codec = build_codec(arch, N=8)
    x = torch.rand(2, 3, 128, 128)
    actual = []
    for layout in (torch.contiguous_format, torch.channels_last):
        codec.zero_grad()
        transform = codec.g_a.to(memory_format=layout)
        transform(x.contiguous(memory_format=layout)).square().mean().backward()
        actual.append([p.grad.clone() for p in transform.parameters()])
    for one, other in zip(*actual, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * one.abs().max())


@pytest.mark.parametrize(
    ("arch", "sizes"),
    [
        ("JointAutoregressiveHierarchicalPriors", {"N": 8, "M": 12}),
        ("Cheng2020Anchor", {"N": 8}),
        ("MeanScaleHyperprior", {"N": 8, "M": 12}),
    ],
)
def test_compressais_files_of_weights_load(arch, sizes, tmp_path):
    """With entropy tables or without, under the names of today or of those that it publishes."""
    torch.manual_seed(0)
    codec = build_codec(arch, **sizes)
    codec.update(force=True)
    state = codec.state_dict()
    tables = ("_quantized_cdf", "_offset", "_cdf_length", "scale_table")
    published = {
        key.replace("bottleneck.matrices.", "bottleneck._matrix")
        .replace("bottleneck.biases.", "bottleneck._bias")
        .replace("bottleneck.factors.", "bottleneck._factor")
        .replace(".skip.", ".downsample."): value
        for key, value in state.items()
    }
    assert set(published) != set(state)
    bare = {key: value for key, value in state.items() if not key.endswith(tables)}
    x = torch.rand(1, 3, 64, 64)
    for number, kept in enumerate((state, published, bare, {"state_dict": state})):
        path = tmp_path / f"{number}.pth"
        torch.save(kept, path)
        loaded = build_codec(arch, checkpoint=str(path), **sizes).eval()
        with torch.no_grad():
            assert torch.equal(loaded(x)["x_hat"], codec.eval()(x)["x_hat"])
    with pytest.raises(ConfigError, match="another architecture"):
        build_codec(arch, checkpoint=str(path), **{**sizes, "N": 16})


@pytest.mark.parametrize("name", ["bmshj2018-hyperprior", "mbt2018", "cheng2020-anchor"])
def test_the_zoos_names_are_known(name):
    assert build_codec(name, quality=1).downsampling_factor == 64
