"""One codec, several rates."""

import copy
import math

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.test_models.test_vcm_system import _optimizers
from vcm_mt.apis.system import build_system
from vcm_mt.bitstream.container import pack, unpack
from vcm_mt.bitstream.gains import Gains
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.transmitter import Transmitter


@pytest.fixture
def build(device):
    def _build(gains=(0.5, 1.0, 2.0), quality=2):
        torch.manual_seed(0)
        network = Transmitter(build_codec("MeanScaleHyperprior", N=8, M=12), quality, gains=gains)
        with torch.no_grad():
            network.g_a[-1].weight.mul_(20)  # so that the latent is not all zeros
        network.eval().update_tables()
        return network.to(device)

    return _build


@pytest.fixture
def picture(device):
    return torch.rand(1, 3, 83, 131, generator=torch.manual_seed(1)).to(device)


def test_each_level_decodes_to_what_it_quantised(picture, build):
    network = build()
    sizes, latents = [], []
    for quality in network.qualities:
        (data,) = network.encode(picture, quality)
        assert unpack(data).quality == quality
        y_hat, size = network.decode(data)
        assert size == (83, 131)
        assert torch.equal(y_hat, network.quantise(picture, quality))
        sizes.append(len(data))
        latents.append(y_hat)
    assert sizes[0] < sizes[1] < sizes[2]
    y = network.analyse(picture).detach()
    errors = [float((y_hat - y).abs().max()) for y_hat in latents]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_sent_at_no_level(picture, bad, build):
    """A picture's value, or a weight of a training that diverged."""
    network = build()
    spoilt = picture.clone()
    spoilt[0, 1, 40, 70] = bad
    for quality in network.qualities:
        for use in (network.encode, network.quantise):
            with pytest.raises(BitstreamError, match="not finite"):
                use(spoilt, quality)
    with torch.no_grad():
        network.gains.gain[1, 3] = bad
    with pytest.raises(BitstreamError, match="not finite"):
        network.encode(picture, 2)
    assert network.encode(picture, 1)


def test_a_level_is_the_codec_of_the_gained_latent(picture, build):
    """Of gain 2: what a codec without gains makes of the doubled latent, halved at the start."""
    network, plain = build(), build(gains=(), quality=3)
    y = network.analyse(picture)
    assert network.code(y, 83, 131, 3)[0][9:] != plain.code(y, 83, 131)[0][9:]
    assert (
        unpack(network.code(y, 83, 131, 3)[0]).string
        == unpack(plain.code(2 * y, 83, 131)[0]).string
    )
    assert network.estimate(y, 3).bits.item() == plain.estimate(2 * y).bits.item()
    assert torch.equal(network.estimate(y, 3).y_hat, plain.estimate(2 * y).y_hat / 2)
    with torch.no_grad():
        network.gains.inverse[2] = 3.0
    assert torch.equal(network.estimate(y, 3).y_hat, plain.estimate(2 * y).y_hat * 3)
    assert network.bit_map(y, 3).sum().item() == pytest.approx(network.estimate(y, 3).bits.item())


def test_pictures_of_several_levels_are_decoded_at_once(picture, build):
    network = build()
    packets = [unpack(network.encode(picture, quality)[0]) for quality in (3, 1)]
    together = network.decode_packets(packets)
    for packet, y_hat in zip(packets, together, strict=True):
        assert torch.equal(network.decode_packets([packet])[0], y_hat)


def test_the_level_by_default_and_others(picture, build):
    network = build()
    assert unpack(network.encode(picture)[0]).quality == 2
    with pytest.raises(ConfigError, match="no quality 4, but 1, 2, 3"):
        network.encode(picture, 4)
    with pytest.raises(ConfigError, match="no quality 2, but 5"):
        build(gains=(), quality=5).encode(picture, 2)
    packet = unpack(network.encode(picture)[0])
    wrong = pack(type(packet)(83, 131, 9, packet.transmitter, packet.string))
    with pytest.raises(BitstreamError, match="qualities 1 to 3"):
        network.decode(wrong)


@pytest.mark.parametrize("part", ["gain", "inverse"])
def test_gains_belong_to_the_transmitter(part, build):
    """Both: the inverse gains decide no bits, but what every receiver is given of them."""
    network = build()
    before = network.fingerprint()
    with torch.no_grad():
        getattr(network.gains, part)[0, 0] += 1e-6
    assert network.fingerprint() != before


@pytest.mark.parametrize("start", [(0.0, 1.0), (-1.0,), (float("nan"),)])
def test_gains_must_be_above_zero(start):
    with pytest.raises(ConfigError, match="above"):
        Gains(start, 4)


def test_compressai_has_another_variable_rate():
    with pytest.raises(ConfigError, match="without -vbr"):
        build_codec("mbt2018-mean-vbr", quality=1)


@pytest.fixture
def config(stage1_config):
    actual = copy.deepcopy(stage1_config)
    actual.model.update(lmbda=[0.0, 1.0], gains=[0.5, 1.0], quality=0)
    return actual


def test_each_step_draws_a_level_with_its_lambda(config, device):
    """Lambda 0 leaves the rate alone in the loss, lambda 1 the task."""
    torch.manual_seed(0)
    system = build_system(config, device=device)
    assert system.transmitter.quality == 1
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    data = system.data_preprocessor(batch, True)
    system.train()
    drawn = set()
    for seed in range(8):
        torch.manual_seed(seed)
        losses = system.loss(data["inputs"], data["data_samples"])
        (quality,) = (q for q in (1, 2) if f"bpp_train/{q}" in losses)
        drawn.add(quality)
        assert (losses["loss_rate"].item() == 0) == (quality == 2)
        assert (losses["loss_det"].item() == 0) == (quality == 1)
    assert drawn == {1, 2}
    before = copy.deepcopy(system.transmitter.gains.state_dict())
    optimizers = _optimizers(system)
    for _ in range(4):
        system.train_step(batch, optimizers)
    for name, trained in system.transmitter.gains.state_dict().items():
        assert (trained != before[name]).any()


def test_a_level_may_weigh_more(config, device):
    losses = {}
    for weights in ([1.0, 1.0], [3.0, 1.0]):
        config.model.level_weights = weights
        torch.manual_seed(0)
        system = build_system(config, device=device)
        with DefaultScope.overwrite_default_scope("vcm_mt"):
            batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
        data = system.data_preprocessor(batch, True)
        system.draw = lambda: (1, 0.25)
        losses[weights[0]] = system.train().loss(data["inputs"], data["data_samples"])
    for key, value in losses[1.0].items():
        times = 3 if key in ("loss_rate", "loss_det") else 1
        assert losses[3.0][key].item() == pytest.approx(times * value.item(), rel=1e-5)


def test_as_many_lambdas_and_weights_as_gains(config, device):
    config.model.level_weights = [1.0]
    with pytest.raises(ConfigError, match="each of 2 gains needs a weight"):
        build_system(config, device=device)
    config.model.gains = [1.0]
    with pytest.raises(ConfigError, match="1 gains need as many lambdas, not 2"):
        build_system(config, device=device)
