"""A scaled latent: other steps, the same networks."""

import copy

import pytest
import torch

from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.latent_scale import fold_gains, scale_latent
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter

CODECS = ("ScaleHyperprior", "MeanScaleHyperprior", "JointAutoregressiveHierarchicalPriors")


def _ends(arch, device):
    torch.manual_seed(0)
    codec = build_codec(arch, N=8, M=12)
    ends = Transmitter(codec).eval(), Receiver(codec.g_s).eval()
    with torch.no_grad():
        ends[0].g_a[-1].weight.mul_(50)  # so that the latent is not all zeros
    ends[0].update_tables()
    return [end.to(device) for end in ends]


@pytest.mark.parametrize("arch", CODECS)
@torch.no_grad()
def test_what_surrounds_the_quantiser_stays(arch, device):
    """y and its parameters grow by the factor, z stays, a receiver undoes it."""
    x = torch.rand(1, 3, 64, 128, generator=torch.manual_seed(1)).to(device)
    (before, receiver), (after, scaled) = _ends(arch, device), _ends(arch, device)
    scale_latent(after, [scaled], 1.2)
    y, larger = before.analyse(x), after.analyse(x)
    assert torch.allclose(1.2 * y, larger, rtol=1e-4, atol=1e-5)
    z, same = before.entropy._analyse(y), after.entropy._analyse(larger)
    assert torch.allclose(z, same, rtol=1e-4, atol=1e-5)
    assert torch.allclose(receiver(y), scaled(larger), atol=1e-5)
    if arch == "JointAutoregressiveHierarchicalPriors":
        hyper = before.entropy.h_s(z)
        a = before.entropy._in_context(hyper, y)
        b = after.entropy._in_context(hyper, 1.2 * y)
    else:
        a, b = before.entropy._synthesise(z), after.entropy._synthesise(z)
    for own, grown in zip(a, b, strict=True):
        assert own is None or torch.allclose(1.2 * own, grown, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", CODECS)
def test_a_larger_factor_takes_more_bytes(arch, device):
    x = torch.rand(1, 3, 64, 128, generator=torch.manual_seed(1)).to(device)
    sizes = []
    for factor in (0.7, 1.0, 1.4):
        transmitter, receiver = _ends(arch, device)
        scale_latent(transmitter, [receiver], factor)
        transmitter.update_tables()
        (data,) = transmitter.encode(x)
        sizes.append(len(data))
        transmitter.decode(data)
    assert sizes[0] < sizes[1] < sizes[2]


def test_a_codec_that_ends_in_something_else_is_refused():
    codec = build_codec("Cheng2020Attention", N=8)
    with pytest.raises(ConfigError, match="layers other than convolutions"):
        scale_latent(Transmitter(codec), [Receiver(codec.g_s)], 1.1)


@pytest.mark.parametrize("arch", CODECS)
@torch.no_grad()
def test_gains_become_part_of_the_transforms(arch, device):
    x = torch.rand(1, 3, 64, 128, generator=torch.manual_seed(1)).to(device)
    torch.manual_seed(0)
    codec = build_codec(arch, N=8, M=12)
    codec.g_a[-1].weight.mul_(50)
    several = Transmitter(codec, 2, gains=(0.5, 0.8, 1.5)).eval()
    several.gains.gain.mul_(torch.rand(3, 12) + 0.5)
    several.gains.inverse.mul_(torch.rand(3, 12) + 0.5)
    receiver = Receiver(codec.g_s).eval()
    several.update_tables()
    for part in (several, receiver):
        part.to(device)
    one, own = copy.deepcopy(several), copy.deepcopy(receiver)
    fold_gains(one, [own], 2)
    one.update_tables()
    assert one.qualities == [2]
    latent, folded = several.estimate(several.analyse(x), 2), one.estimate(one.analyse(x))
    assert torch.allclose(latent.bits, folded.bits, rtol=1e-3, atol=1e-3)
    assert torch.allclose(receiver(latent.y_hat), own(folded.y_hat), atol=1e-4)
    (data,) = one.encode(x)
    assert abs(len(data) - len(several.encode(x, 2)[0])) <= 2
    assert torch.allclose(own(one.decode(data)[0]), own(folded.y_hat), atol=1e-4)
    with pytest.raises(ConfigError, match="one quality alone"):
        fold_gains(one, [own], 2)
