"""Parameters of the entropy model that do not depend on who computes them, and how."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
import torch
from compressai.models import MeanScaleHyperprior, ScaleHyperprior
from compressai.models.base import get_scale_table
from torch import nn

from vcm_mt.apis.pictures import to_tensor
from vcm_mt.bitstream import products
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.integer import LARGEST, IntegerSynthesis
from vcm_mt.bitstream.products import InBytes, Tiled, Winograd, narrowed
from vcm_mt.checkpoint import read_state_dict
from vcm_mt.datasets.mini.photographs import photograph
from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.transmitter import Transmitter


def _built(codec):
    torch.manual_seed(0)
    net = codec(8, 12)
    for module in net.h_s.modules():  # away from the start, where all scales are alike
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=1.5 / module.weight[0].numel() ** 0.5)
            nn.init.normal_(module.bias, std=0.5)
    prior = Hyperprior(net).eval()
    prior.update_tables()
    return prior


def _z(batch=1, size=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-9000, 9000, (batch, 8, size, size), generator=generator).double() / 4096


@pytest.mark.parametrize("codec", [MeanScaleHyperprior, ScaleHyperprior])
def test_they_are_those_of_the_float_network_but_for_a_few_steps(codec):
    prior = _built(codec)
    prior.integer_h_s.build(prior.h_s, prior.gaussian_conditional.scale_table)
    z = _z(batch=4)
    scales, means = prior._synthesise(z.float())
    wanted = prior.gaussian_conditional.build_indexes(scales)
    exact_scales, exact_means = prior._split(prior.integer_h_s(z))
    actual = prior.integer_h_s.indexes(exact_scales)
    if means is not None:
        assert (exact_means - means).abs().max() < 0.002
    assert len(wanted.unique()) > 20  # the comparison is about something
    assert (actual - wanted).abs().max() <= 1
    assert (actual != wanted).double().mean() < 0.01


def test_the_order_of_summation_does_not_matter():
    prior = _built(MeanScaleHyperprior)
    scales = prior.integer_h_s
    z = _z()
    straight = scales(z)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    scales.layers[0].weight = scales.layers[0].weight[:, order]
    assert torch.equal(scales(z[:, order]), straight)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("onednn", [True, False])
def test_threads_batches_and_libraries_do_not_matter(threads, onednn):
    prior = _built(MeanScaleHyperprior)
    z = _z(batch=8)
    wanted = torch.cat([prior.integer_h_s(one[None]) for one in z])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.mkldnn.flags(enabled=onednn):
            assert torch.equal(prior.integer_h_s(z), wanted)
    finally:
        torch.set_num_threads(before)


def test_the_largest_activations_stay_exact():
    """Sums of the largest values that can occur, against integers that never round."""
    layer = nn.Conv2d(3, 2, 3, padding=1)
    nn.init.uniform_(layer.weight, -30, 30)
    scales = IntegerSynthesis(layer)
    scales.build(layer, get_scale_table())
    own = scales.layers[0]
    assert own.largest_sum() < 2**53
    x = torch.full((1, 3, 3, 3), LARGEST, dtype=torch.float64)
    middle = own.sums(x)[0, 1, 1]
    exact = [
        sum(int(w) * int(LARGEST) for w in weights.flatten().tolist()) + int(bias)
        for weights, bias in zip(own.weight, own.bias, strict=True)
    ]
    assert [int(v) for v in middle.tolist()] == exact


def test_weights_whose_sums_could_pass_2_to_the_53_are_refused():
    layer = nn.Conv2d(64, 2, 5)
    nn.init.constant_(layer.weight, 100.0)
    with pytest.raises(ConfigError, match=r"layer 0 .* exceed 2\^53"):
        IntegerSynthesis(layer).build(layer, get_scale_table())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.Tanh()),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(2, 2, 1)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.LeakyReLU()),
        nn.Conv2d(2, 2, 3, dilation=2),
    ],
)
def test_layers_without_an_integer_form_are_refused(layer):
    with pytest.raises(ConfigError, match="h_s has a"):
        IntegerSynthesis(layer)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_they_travel_with_the_weights_as_integers(tmp_path, precision):
    """A file, or a network in half precision, changes none of them."""
    prior = _built(MeanScaleHyperprior)
    wanted = prior.integer_h_s(_z())
    torch.save(prior.state_dict(), tmp_path / "prior.pth")
    other = Hyperprior(MeanScaleHyperprior(8, 12)).eval()
    other.load_state_dict(read_state_dict(str(tmp_path / "prior.pth")))
    assert all(not buffer.is_floating_point() for buffer in other.integer_h_s.buffers())
    assert torch.equal(other.to(precision).integer_h_s(_z()), wanted)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_convolutions_are_torchs(kernel, stride):
    torch.manual_seed(1)
    x = torch.randint(-50, 50, (2, 3, 7, 9)).double()
    plain = nn.Conv2d(3, 4, kernel, stride, kernel // 2)
    transposed = nn.ConvTranspose2d(3, 4, kernel, stride, kernel // 2, stride - 1)
    for layer in (plain, transposed):
        with torch.no_grad():
            layer.weight.copy_((layer.weight * 64).round() / 64)
            layer.bias.copy_((layer.bias * 64).round() / 64)
        scales = IntegerSynthesis(layer)
        scales.build(layer, get_scale_table())
        assert torch.equal(scales(x), layer.double()(x))


@pytest.mark.parametrize("factor", [2, 3])
def test_sub_pixel_shuffling_is_torchs(factor):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 2 * factor**2, 3, padding=1), nn.PixelShuffle(factor)),
        nn.ReLU(),
        nn.Conv2d(2, 5, 3, padding=1),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter * 64).round() / 64)
    scales = IntegerSynthesis(net)
    scales.build(net)
    x = torch.randint(-50, 50, (2, 3, 5, 7)).double()
    assert torch.equal(scales(x), net.double()(x))


@pytest.mark.parametrize("quality", [1, 4])
def test_weights_of_8_bits_cost_next_to_no_rate(quality):
    sender = Transmitter(
        build_codec("MeanScaleHyperprior", N=48, M=96, checkpoint=f"zoo://mse_{quality}")
    ).eval()
    sender.update_tables()
    entropy = sender.entropy
    assert all(next(layer._faster()).fits for layer in entropy.integer_h_s.layers)
    latents = [sender.analyse(to_tensor(photograph(n, "val"))) for n in range(4)]
    narrow = sum(len(entropy.compress(y)[0]) for y in latents)
    entropy.integer_h_s.build(entropy.h_s, entropy.gaussian_conditional.scale_table)
    wide = sum(len(entropy.compress(y)[0]) for y in latents)
    assert narrow == pytest.approx(wide, rel=0.005)  # a string has whole words of 4 bytes


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
def test_narrow_weights_are_bytes_whose_errors_cancel(stride):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randint(-40000, 40000, (3, 4, 5, 5), generator=generator).double()
    weight[1] = 126.5
    weight[1, :, 2, 2] = 126 * 300
    weight[2] = 0
    actual = narrowed(weight, stride)
    steps = (weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 126).ceil().clamp_min(1)
    assert torch.equal(actual / steps, (actual / steps).round())
    assert (actual / steps).abs().max() <= 127
    assert (actual - weight).abs().amax() <= steps.max()
    for row in range(stride[0]):
        for column in range(stride[1]):
            error = (actual - weight)[..., row :: stride[0], column :: stride[1]]
            assert (error.sum((2, 3)) / steps[..., 0, 0]).abs().max() <= 0.5


@pytest.fixture
def bytes_multiplied(monkeypatch):
    """Products of bytes, also on processors that do not add them up exactly."""
    if not products.multiplies_bytes():
        exact = lambda a, b: (a.double() @ b.double()).to(torch.int32)  # noqa: E731
        monkeypatch.setattr(torch, "_int_mm", exact)
        monkeypatch.setattr(products, "multiplies_bytes", lambda: True)


@pytest.mark.usefixtures("bytes_multiplied")
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (8, 6), (7, 9)])
@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(5, 7, 3), nn.Conv2d(5, 7, 3, padding=1), nn.ConvTranspose2d(5, 7, 5, 2, 2, 1)],
    ids=["unpadded", "padded", "transposed"],
)
@pytest.mark.parametrize("largest", [127, 128, 32639, 32640, 8355711])
@pytest.mark.parametrize("strip", [1, 1 << 22])
def test_fewer_products_give_the_same_integers(size, layer, largest, strip, monkeypatch):
    """In bytes and in Winograd's form as in the sums written out."""
    monkeypatch.setattr(products, "_STRIP", strip)
    torch.manual_seed(3)
    if layer.padding == (0, 0):
        size = tuple(max(length, 3) for length in size)
    scales = IntegerSynthesis(layer)
    scales.build(layer, get_scale_table(), narrow=True)
    own = scales.layers[0]
    x = torch.randint(-largest, largest + 1, (2, *size, 5)).double()
    x[0, 0, 0, 0], x[1, -1, -1, 0] = largest, -largest
    ways = [way for way in own._faster() if way.takes(x, largest)]
    kinds = {InBytes, Winograd} | ({Tiled} if layer.padding != (0, 0) else set())
    assert {type(way) for way in ways} == kinds
    monkeypatch.setattr(own, "_faster", lambda: ())
    wanted = own.sums(x)
    for way in ways:
        monkeypatch.setattr(own, "_faster", lambda way=way: (way,))
        assert torch.equal(own.sums(x), wanted)


@pytest.mark.usefixtures("bytes_multiplied")
def test_what_does_not_fit_is_multiplied_otherwise():
    layer = nn.Conv2d(5, 7, 3)
    wide, narrow = IntegerSynthesis(layer), IntegerSynthesis(layer)
    wide.build(layer)
    narrow.build(layer, narrow=True)
    x = torch.zeros(1, 4, 4, 5, dtype=torch.float64)
    assert not InBytes(wide.layers[0].weight.double()).takes(x, 100.0)
    in_bytes = InBytes(narrow.layers[0].weight.double())
    assert in_bytes.takes(x, 8355711.0)
    assert not in_bytes.takes(x, 8355712.0)
    many = torch.ones(1, 15000, 3, 3, dtype=torch.float64)
    assert not InBytes(many).takes(x, 100.0)  # a sum could leave 32 bits


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_without_onednn_there_is_no_fast_product_of_bytes():
    with torch.backends.mkldnn.flags(enabled=False):
        assert not products.multiplies_bytes()


def test_a_processor_that_adds_up_in_16_bits_is_found_out():
    """There oneDNN multiplies bytes too, but not exactly; the integers stay what they are."""
    there = subprocess.run(
        [sys.executable, "-c", _DIGEST],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    here = io.StringIO()
    with redirect_stdout(here):
        exec(_DIGEST, {})
    exact, digest = there.stdout.split()
    assert exact == "False"
    assert digest == here.getvalue().split()[1]


_DIGEST = """
import hashlib
import torch
from compressai.models import MeanScaleHyperprior
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.products import multiplies_bytes
torch.manual_seed(0)
net = MeanScaleHyperprior(8, 12)
prior = Hyperprior(net).eval()
prior.update_tables()
z = torch.arange(-800, 800).double().view(1, 8, 10, 20)
found = prior.integer_h_s(z).contiguous().numpy().tobytes()
print(multiplies_bytes(), hashlib.sha256(found).hexdigest())
"""
