"""Latents through real range-coded strings."""

import math

import pytest
import torch
from compressai.models import (
    FactorizedPrior,
    JointAutoregressiveHierarchicalPriors,
    MeanScaleHyperprior,
    ScaleHyperprior,
)

from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.errors import BitstreamError, ConfigError

N, M = 8, 12


@pytest.fixture(params=[MeanScaleHyperprior, ScaleHyperprior])
def codec(request, device):
    torch.manual_seed(0)
    return request.param(N, M).eval().to(device)


@pytest.fixture
def latent(device):
    """A latent of some size, drawn from a Gaussian."""
    return lambda *size: torch.randn(*size).to(device)


def test_decoded_latent_is_the_encoders(codec, latent):
    entropy = Hyperprior(codec).eval()
    entropy.update_tables()
    y = 3 * latent(2, M, 8, 12)
    coded = entropy.compress(y)
    assert coded[1:] == entropy.compress(y[1:])  # each for itself
    y_hat = entropy.decompress(coded, (2, 3))
    # The means are the integer network's, so a few values are rounded the other way.
    assert ((y_hat - entropy(y).y_hat).abs() < 0.002).double().mean() > 0.99
    assert (y_hat - y).abs().max() <= 0.5 + 1e-5


def test_the_estimate_is_near_the_real_size(codec, latent):
    entropy = Hyperprior(codec).eval()
    entropy.update_tables()
    y = 0.1 * latent(1, M, 32, 32)
    (coded,) = entropy.compress(y)
    # Whole words, and probabilities of 16 bits, cost 1 to 2 %.
    assert 1 < 8 * len(coded) / entropy(y).bits.item() < 1.03


def test_bits_are_compressais(codec, device):
    """The same noise, the same likelihoods: CompressAI's own forward is the reference."""
    entropy = Hyperprior(codec)
    x = torch.rand(2, 3, 64, 128).to(device)
    codec.train()
    torch.manual_seed(1)
    expected = codec(x)
    torch.manual_seed(1)
    actual = entropy.train()(codec.g_a(x))
    for index in range(2):
        bits = sum(-v[index].log2().sum() for v in expected["likelihoods"].values())
        assert actual.bits[index].item() == pytest.approx(bits.item(), rel=1e-5)
    assert torch.allclose(codec.g_s(actual.y_hat), expected["x_hat"], atol=1e-6)


def test_straight_through_rounding_passes_the_gradient(codec, latent):
    entropy = Hyperprior(codec, quantizer="ste").train()
    y = latent(1, M, 4, 4).requires_grad_()
    y_hat = entropy(y).y_hat
    y_hat.sum().backward()
    assert torch.equal(y.grad, torch.ones_like(y))
    if not entropy.has_means:
        assert torch.equal(y_hat, y.round())


def test_what_is_rounded_costs_what_will_be_sent(codec, latent):
    """The rate of training is that of evaluation, and both ways of the gradient are open."""
    entropy = Hyperprior(codec, quantizer="round")
    y = latent(2, M, 8, 12).requires_grad_()
    trained = entropy.train()(y)
    measured = entropy.eval()(y)
    assert torch.allclose(trained.y_hat, measured.y_hat, atol=1e-5)
    assert torch.allclose(trained.bits, measured.bits, rtol=1e-5)
    trained.bits.sum().backward()
    assert y.grad.abs().sum() > 0
    assert codec.h_a[0].weight.grad.abs().sum() > 0
    learned = dict(codec.entropy_bottleneck.named_parameters())
    del learned["quantiles"]
    assert all(value.grad.abs().sum() > 0 for value in learned.values())


def test_tables_travel_in_a_nested_state_dict(codec, latent, device):
    """Nested in another module, CompressAI alone would leave the tables empty."""
    entropy = Hyperprior(codec).eval()
    entropy.update_tables()
    fresh = torch.nn.ModuleDict({"part": Hyperprior(type(codec)(N, M)).eval()})
    fresh.load_state_dict({f"part.{k}": v for k, v in entropy.state_dict().items()})
    fresh.to(device)
    y = latent(1, M, 4, 4)
    assert fresh["part"].compress(y) == entropy.compress(y)


def test_without_tables_it_says_what_to_do(codec, latent):
    with pytest.raises(BitstreamError, match="update_tables"):
        Hyperprior(codec).eval().compress(latent(1, M, 4, 4))


def test_compressais_own_tables_are_not_enough(codec):
    codec.update()
    assert not Hyperprior(codec).has_tables


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**30, -3e38])
def test_a_latent_without_symbols_is_refused(codec, latent, bad):
    entropy = Hyperprior(codec).eval()
    entropy.update_tables()
    y = latent(2, M, 8, 4)
    y[1, 3, 2, 1] = bad
    for use in (entropy.compress, entropy.quantise):
        with pytest.raises(BitstreamError, match="not finite.*pictures.*weights"):
            use(y)
    y[1, 3, 2, 1] = 2.0**29  # far out, and sent all the same
    y_hat = entropy.decompress(entropy.compress(y), (2, 1))
    assert torch.equal(y_hat, entropy.quantise(y))


def test_a_hyperlatent_without_symbols_is_refused(codec, latent):
    entropy = Hyperprior(codec).eval()
    entropy.update_tables()
    with torch.no_grad():
        codec.h_a[-1].bias[0] = math.nan
    for use in (entropy.compress, entropy.quantise):
        with pytest.raises(BitstreamError, match="not finite"):
            use(latent(1, M, 4, 4))


@pytest.mark.parametrize("other", [FactorizedPrior, JointAutoregressiveHierarchicalPriors])
def test_codecs_of_another_kind_are_refused(other):
    with pytest.raises(ConfigError, match="hyperprior"):
        Hyperprior(other(N, M))


def test_unknown_quantizer():
    with pytest.raises(ConfigError, match="quantizer"):
        Hyperprior(MeanScaleHyperprior(N, M), quantizer="dither")
