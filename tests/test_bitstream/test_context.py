"""Codecs with a context model: tables from integers, symbols in wavefronts."""

import copy
import math

import numpy as np
import pytest
import torch
from compressai.layers import CheckerboardMaskedConv2d, MaskedConv2d
from compressai.models import (
    Cheng2020Anchor,
    JointAutoregressiveHierarchicalPriors,
    MeanScaleHyperprior,
)
from float_parameters import FloatHyperprior
from torch import nn

from vcm_mt.bitstream import context, rans
from vcm_mt.bitstream.context import ContextHyperprior, entropy_model, wavefronts
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import BitstreamError, ConfigError

# cheng2020-attn has cheng2020-anchor's entropy model.
CODECS = {
    "mbt2018": lambda: JointAutoregressiveHierarchicalPriors(8, 12),
    "cheng2020-anchor": lambda: Cheng2020Anchor(N=8),
}


@pytest.fixture(scope="module", params=CODECS)
def _built(request):
    """Random weights, but scales and means of all kinds, and a context that matters."""
    torch.manual_seed(0)
    codec = CODECS[request.param]()
    for part in (codec.h_s, codec.context_prediction, codec.entropy_parameters):
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=1.2 / module.weight[0].numel() ** 0.5)
                nn.init.normal_(module.bias, std=0.5)
    entropy = entropy_model(codec).eval()
    entropy.update_tables()
    return codec, entropy


@pytest.fixture
def both(_built, device):
    return tuple(part.to(device) for part in copy.deepcopy(_built))


@pytest.fixture
def codec(both):
    return both[0]


@pytest.fixture
def entropy(both):
    """The entropy model of ``codec``, with tables."""
    return both[1]


def _y(codec, batch=2, height=8, width=12, size=2.0):
    generator = torch.Generator().manual_seed(3)
    y = size * torch.randn(batch, codec.M, height, width, generator=generator)
    return y.to(codec.context_prediction.weight.device)


def _raster(height, width):
    for place in range(height * width):
        yield torch.tensor([place // width]), torch.tensor([place % width])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (7, 2), (4, 12), (9, 5)])
def test_a_wavefront_sees_only_earlier_ones(size):
    height, width = size
    step_of = {}
    for step, (rows, columns) in enumerate(wavefronts(*size)):
        for place in zip(rows.tolist(), columns.tolist(), strict=True):
            assert place not in step_of
            step_of[place] = step
    assert len(step_of) == height * width
    for (i, j), step in step_of.items():
        window = [(i - up, j + right) for up in (1, 2) for right in range(-2, 3)]
        window += [(i, j - 1), (i, j - 2)]
        assert all(step_of.get(place, -1) < step for place in window)
    assert max(step_of.values()) + 1 <= width + 3 * (height - 1)


@pytest.mark.parametrize("z_shape", [(1, 1), (2, 3), (3, 1)])
def test_decoded_latent_is_the_encoders(codec, entropy, z_shape):
    y = _y(codec, height=4 * z_shape[0], width=4 * z_shape[1])
    coded = entropy.compress(y)
    assert coded[1:] == entropy.compress(y[1:])  # each for itself
    y_hat = entropy.decompress(coded, z_shape)
    assert torch.equal(y_hat, entropy.quantise(y))
    assert torch.equal(y_hat[1:], entropy.decompress(coded[1:], z_shape))
    assert (y_hat - y).abs().max() <= 0.5 + 1e-5
    # The float network's, but for what is rounded the other way.
    assert ((y_hat - entropy(y).y_hat).abs() < 0.005).double().mean() > 0.99


@pytest.mark.parametrize("bad", [math.nan, -math.inf, 2.0**31])
def test_a_latent_without_symbols_is_refused(codec, entropy, bad):
    y = _y(codec)
    y[1, 3, 2, 1] = bad
    for use in (entropy.compress, entropy.quantise):
        with pytest.raises(BitstreamError, match="not finite"):
            use(y)


def test_wavefronts_are_the_raster_order_made_fast(codec, entropy, monkeypatch):
    y = _y(codec)
    coded, y_hat = entropy.compress(y), entropy.quantise(y)
    monkeypatch.setattr(context, "wavefronts", _raster)
    assert torch.equal(entropy.quantise(y), y_hat)
    in_rows = entropy.compress(y)
    assert in_rows != coded
    assert torch.equal(entropy.decompress(in_rows, (2, 3)), y_hat)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("onednn", [True, False])
def test_threads_and_libraries_do_not_matter(codec, entropy, threads, onednn):
    y = _y(codec)
    coded, y_hat = entropy.compress(y), entropy.quantise(y)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.mkldnn.flags(enabled=onednn):
            assert entropy.compress(y) == coded
            assert torch.equal(entropy.decompress(coded, (2, 3)), y_hat)
    finally:
        torch.set_num_threads(before)


def test_any_decoder_by_the_page_finds_the_same(codec, entropy):
    """docs/bitstream.md in NumPy's 64-bit integers, without this decoder."""
    (coded,) = entropy.compress(_y(codec, batch=1))
    wanted = entropy.decompress([coded], (2, 3))[0].cpu().numpy()
    codec.cpu(), entropy.cpu()
    decoder = rans.Decoder(coded, entropy.tables)
    channels = len(entropy.entropy_bottleneck.quantiles)
    z = decoder.take(np.repeat(np.arange(channels), 6)).reshape(1, channels, 2, 3)
    hyper = entropy.integer_h_s(torch.from_numpy(z).double() + entropy._medians().double())
    hyper = (hyper[0] * 2**28).long().numpy()  # for h_s itself see test_integer.py
    levels = entropy.gaussian_conditional.scale_table.numpy()[:-1]
    near = np.zeros((codec.M, 2 + 8, 2 + 12 + 2), np.int64)
    y_hat = np.zeros((codec.M, 8, 12), np.float32)
    for step in range(12 + 3 * 7):
        places = [(i, step - 3 * i) for i in range(8) if 0 <= step - 3 * i < 12]
        windows = [near[:, i : i + 3, j : j + 5] for i, j in places]
        sums = [_parameters_at(codec, w, hyper[:, i, j])
                for w, (i, j) in zip(windows, places, strict=True)]  # fmt: skip
        scales, means = np.split(np.stack(sums, 1) / 2**28, 2)
        numbers = channels + np.searchsorted(levels, scales)
        symbols = decoder.take(numbers.flatten().astype(np.int32)).reshape(means.shape)
        for (i, j), actual in zip(places, (symbols + means).T, strict=True):
            y_hat[:, i, j] = actual
            near[:, i + 2, j + 2] = np.rint(actual * 2**12)
    decoder.close()
    assert np.array_equal(y_hat, wanted)


def _parameters_at(codec, window, hyper):
    """Sums with 28 fractional bits, [2 M]; ``window`` is [M, 3, 5], 0 where nothing is known."""
    weight, bias = _integers(codec.context_prediction)
    x = np.concatenate([hyper, (weight[:, :, :3] * window).sum(axis=(1, 2, 3)) + bias])
    x = np.rint(x / 2**16).astype(np.int64)
    first, second, last = (_integers(codec.entropy_parameters[n]) for n in (0, 2, 4))
    for weight, bias in (first, second):
        x = (weight[:, :, 0, 0] @ x + bias + 2**15) >> 16
        x = np.where(x < 0, (x * round(0.01 * 2**16) + 2**15) >> 16, x)
    weight, bias = last
    return weight[:, :, 0, 0] @ x + bias


def _integers(layer):
    weight, bias = (value.detach().double().numpy() for value in (layer.weight, layer.bias))
    return np.rint(weight * 2**16).astype(np.int64), np.rint(bias * 2**28).astype(np.int64)


def test_the_estimate_is_near_the_real_size(codec, entropy, device):
    """For a latent as the model expects it: each value is drawn from its own Gaussian."""
    nn.init.zeros_(codec.h_a[-1].weight)
    z = entropy._z_symbols(torch.zeros(1, codec.M, 16, 16, device=device))
    y = entropy._in_integers(
        z, lambda front, scales, means: (scales.clamp(min=0.11) * torch.randn_like(means)).round()
    )
    (coded,) = entropy.compress(y)
    bits = entropy(y).bits.item()
    assert bits > 1000
    assert bits == pytest.approx(8 * len(coded), rel=0.03)
    assert entropy.bit_map(y).sum().item() == pytest.approx(bits, rel=1e-4)


def test_bits_are_compressais(codec, device):
    """The same noise, the same likelihoods: CompressAI's own forward is the reference."""
    entropy = entropy_model(codec)
    x = torch.rand(2, 3, 64, 128).to(device)
    codec.train()
    torch.manual_seed(1)
    expected = codec(x)
    torch.manual_seed(1)
    latent = entropy.train()(codec.g_a(x))
    for index in range(2):
        bits = sum(-v[index].log2().sum() for v in expected["likelihoods"].values())
        assert latent.bits[index].item() == pytest.approx(bits.item(), rel=1e-5)
    assert torch.allclose(codec.g_s(latent.y_hat), expected["x_hat"], atol=1e-5)


def test_straight_through_rounding_passes_the_gradient(codec):
    entropy = entropy_model(codec, quantizer="ste").train()
    y = _y(codec).requires_grad_()
    latent = entropy(y)
    assert (latent.y_hat - y).abs().max() <= 0.5 + 1e-5
    latent.y_hat.sum().backward()
    assert torch.equal(y.grad, torch.ones_like(y))


def test_what_is_rounded_costs_what_will_be_sent(codec):
    """The rate of training is that of evaluation, and every way of the gradient is open."""
    entropy = entropy_model(codec, quantizer="round")
    y = _y(codec).requires_grad_()
    trained = entropy.train()(y)
    measured = entropy.eval()(y)
    assert torch.allclose(trained.y_hat, measured.y_hat, atol=1e-4)
    assert torch.allclose(trained.bits, measured.bits, rtol=1e-4)
    trained.bits.sum().backward()
    for weight in (codec.h_a[0].weight, codec.h_s[0].weight, codec.entropy_parameters[0].weight):
        assert weight.grad.abs().sum() > 0
    assert codec.context_prediction.weight.grad[:, :, :2].abs().sum() > 0
    assert y.grad.abs().sum() > 0


def test_a_decoder_needs_the_integers_alone(codec, entropy, device):
    y = _y(codec)
    state = entropy.decoder_state_dict()
    assert any(key.startswith("integer_context.") for key in state)
    assert not any(key.startswith(("h_", "context_", "entropy_parameters")) for key in state)
    torch.manual_seed(9)
    fresh = entropy_model(type(codec)(**_sizes(codec))).eval()
    fresh.load_decoder_state_dict(state)
    fresh.to(device)
    assert torch.equal(fresh.decompress(entropy.compress(y), (2, 3)), entropy.quantise(y))
    nested = nn.ModuleDict({"part": entropy_model(type(codec)(**_sizes(codec))).eval()})
    nested.load_state_dict({f"part.{k}": v for k, v in entropy.state_dict().items()})
    nested.to(device)
    assert nested["part"].compress(y) == entropy.compress(y)
    with pytest.raises(ValueError, match="missing"):
        fresh.load_decoder_state_dict({k: v for k, v in state.items() if "context" not in k})


def _sizes(codec):
    return {"N": codec.N} if isinstance(codec, Cheng2020Anchor) else {"N": codec.N, "M": codec.M}


def test_weights_behind_the_mask_decide_nothing(codec, entropy):
    y = _y(codec)
    coded = entropy.compress(y)
    with torch.no_grad():  # as an optimiser's step does
        hidden = 1 - codec.context_prediction.mask
        codec.context_prediction.weight.add_(hidden * torch.randn_like(hidden))
    entropy.update_tables()
    assert entropy.compress(y) == coded
    before = fingerprint(entropy)
    entropy(y)
    assert fingerprint(entropy) == before


def test_damaged_strings_are_refused_or_decode_to_something(codec, entropy):
    (coded,) = entropy.compress(_y(codec, 1, 4, 8))
    refused = 0
    damaged = [
        coded[: len(coded) // 8 * 4],
        coded[:8],
        coded[:-4],
        coded + bytes(4),
        b"",
        coded[1:],
    ]
    generator = np.random.default_rng(5)
    for place in generator.integers(0, len(coded), 24):
        flipped = bytearray(coded)
        flipped[place] ^= 1 << generator.integers(8)
        damaged.append(bytes(flipped))
    for data in damaged:
        try:
            y_hat = entropy.decompress([data], (1, 2))
            assert y_hat.shape == (1, codec.M, 4, 8)
            assert y_hat.isfinite().all()
        except BitstreamError:
            refused += 1
    assert refused > 20


def test_without_tables_it_says_what_to_do(codec):
    entropy = entropy_model(type(codec)(**_sizes(codec))).eval()
    for call in (entropy.compress, entropy.quantise):
        with pytest.raises(BitstreamError, match="update_tables"):
            call(_y(codec))


@pytest.mark.parametrize("part", ["context_prediction", "entropy_parameters"])
def test_weights_whose_sums_could_pass_2_to_the_53_are_refused(codec, part):
    layer = getattr(codec, part)
    layer = layer if part == "context_prediction" else layer[2]
    nn.init.constant_(layer.weight, 100.0)
    with pytest.raises(ConfigError, match=rf"layer \d of {part} .* exceed 2\^53"):
        entropy_model(codec).update_tables()


@pytest.mark.parametrize(
    "other",
    [
        CheckerboardMaskedConv2d(12, 24, 5, padding=2),
        MaskedConv2d(12, 24, 5, padding=2, mask_type="B"),
        MaskedConv2d(12, 24, 3, padding=1),
    ],
)
def test_contexts_of_another_kind_are_refused(other):
    codec = JointAutoregressiveHierarchicalPriors(8, 12)
    codec.context_prediction = other
    with pytest.raises(ConfigError, match="ContextHyperprior does not support .* same context"):
        entropy_model(codec)


def test_each_codec_has_its_entropy_model(codec):
    assert type(entropy_model(codec)) is ContextHyperprior
    plain = MeanScaleHyperprior(8, 12)
    assert type(entropy_model(plain)) is Hyperprior
    with pytest.raises(ConfigError, match="ContextHyperprior does not support"):
        ContextHyperprior(plain)
    with pytest.raises(ConfigError, match="context model"):
        FloatHyperprior.of(entropy_model(codec))
