"""Codecs that scale pictures down before g_a, and back after g_s."""

import numpy as np
import pytest
import torch
from skimage import data

from vcm_mt.apis import Receiver, Transmitter
from vcm_mt.apis.system import build_system
from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.resampling import scaled_down, scaled_up, spread
from vcm_mt.training.run import train


def _codec(downscale):
    return build_codec("MeanScaleHyperprior", N=8, M=12, downscale=downscale)


@pytest.mark.parametrize("downscale", [0.5, 1.3, 0])
def test_what_does_not_divide_is_refused(downscale):
    with pytest.raises(ConfigError, match=r"downscale must be 1 or more.* such as 1.5"):
        _codec(downscale)


def test_pictures_come_back_in_their_size():
    codec = _codec(1.5)
    x = torch.from_numpy(data.astronaut()[:480, :288].copy()).permute(2, 0, 1)[None] / 255.0
    small = scaled_down(x, codec.g_a)
    assert small.shape == (1, 3, 320, 192)
    back = scaled_up(small, codec.g_s)
    assert back.shape == x.shape
    assert (back - x).square().mean() < 1e-3
    assert scaled_down(x, _codec(1).g_a) is x


def test_a_map_of_bits_keeps_its_sum():
    bits = torch.rand(2, 4, 8)
    there = spread(bits, _codec(1.5).g_a)
    assert there.shape == (2, 6, 12)
    assert torch.allclose(there.sum((1, 2)), bits.sum((1, 2)))
    assert spread(torch.zeros(1, 4, 4), _codec(1.5).g_a).sum() == 0


def test_trained_packed_and_coded(people_config, tmp_path):
    """From a training to bytes, at odd sizes; the receivers need nothing but their checkpoint."""
    people_config.model.codec.downscale = 1.5
    people_config.train_cfg.max_iters = 2
    people_config.levels = []
    train(people_config, tmp_path)
    transmitter = Transmitter.load(tmp_path)
    receiver = Receiver.load(tmp_path)
    assert transmitter.network.entropy.divisor == 96
    picture = torch.from_numpy(data.astronaut()[:333, :205].copy()).permute(2, 0, 1) / 255.0
    packet = transmitter.encode(picture)
    decoded = receiver.decode(packet)
    assert decoded.shape == (333, 205, 3)
    assert decoded.dtype == np.uint8
    latent, size = transmitter.network.decode(packet)
    assert latent.shape[-2:] == (16, 12)  # 384 x 288 pixels at two thirds
    assert size == (333, 205)


def test_the_gradient_passes(stage1_config):
    stage1_config.model.codec.downscale = 1.5
    system = build_system(stage1_config).train()
    assert system.data_preprocessor.divisor == 96
    x = torch.rand(1, 3, 96, 192)
    x_hat = next(iter(system.receivers.values()))(system.transmitter(x).y_hat)
    assert x_hat.shape == x.shape
    (x_hat - x).square().sum().backward()
    assert system.transmitter.g_a[0].weight.grad.abs().sum() > 0
