"""Change of a trained codec's quantisation step, without a new parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from vcm_mt.bitstream.context import ContextHyperprior
from vcm_mt.errors import ConfigError
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter

_Convolution = nn.Conv2d | nn.ConvTranspose2d
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def scale_latent(transmitter: Transmitter, receivers: Iterable[Receiver], factor: float) -> None:
    """Scale y by a factor, which divides its quantisation step by the same factor.

    The layers that produce y, its scales and its means are multiplied by the factor, and the
    layers that read them are divided by it. Except for the finer rounding, every network computes
    the same as before, and z does not change.

    Args:
        transmitter: Rebuild its tables afterwards.
        receivers: All receivers of the transmitter.
        factor: Above 0; a larger one gives a higher rate.

    Raises:
        ConfigError: If layers other than convolutions produce or read y.
    """
    entropy = transmitter.entropy
    writes, reads = [transmitter.g_a], [entropy.h_a, *(one.g_s for one in receivers)]
    if isinstance(entropy, ContextHyperprior):
        writes.append(entropy.entropy_parameters)
        reads.append(entropy.context_prediction)
    else:
        writes.append(entropy.h_s)
    last, first = _ends(writes, reads)
    for layer in last:
        layer.weight *= factor
        if layer.bias is not None:
            layer.bias *= factor
    for layer in first:
        layer.weight /= factor


@torch.no_grad()
def fold_gains(transmitter: Transmitter, receivers: Iterable[Receiver], quality: int) -> None:
    """Make a codec for one rate of one for several: its gains become part of the transforms.

    The last layer of ``g_a`` is multiplied by the quality's gains, channel by channel, and the
    first one of each ``g_s`` by its inverse gains. But for rounding of weights, every network
    computes the same as before.

    Args:
        transmitter: A transmitter with gains; rebuild its tables afterwards.
        receivers: All receivers of the transmitter.
        quality: One of its qualities, which becomes its only one.

    Raises:
        ConfigError: If it has no such quality, or layers other than convolutions produce or read y.
    """
    if transmitter.gains is None:
        raise ConfigError(f"the codec has one quality alone, {transmitter.quality}: name none")
    gain, inverse = (factors.flatten() for factors in transmitter.gains([quality]))
    last, first = _ends([transmitter.g_a], [one.g_s for one in receivers])
    for layer in last:
        _scale(layer, gain, outputs=True)
        if layer.bias is not None:
            layer.bias *= gain
    for layer in first:
        _scale(layer, inverse, outputs=False)
    transmitter.gains, transmitter.quality = None, quality


def _scale(layer: _Convolution, factors: Tensor, outputs: bool) -> None:
    """Multiply a kernel by a factor for each of its outputs, or of its inputs."""
    first = outputs != isinstance(layer, nn.ConvTranspose2d)  # which dimension they have
    layer.weight *= factors.view((-1, 1, 1, 1) if first else (1, -1, 1, 1))


def _ends(
    writes: Iterable[nn.Module], reads: Iterable[nn.Module]
) -> tuple[list[_Convolution], list[_Convolution]]:
    """The last layers of the networks that produce y, and the first of those that read it."""
    # ReLU and LeakyReLU after the last convolution commute with a factor above 0.
    last = [[layer for layer in _layers(part) if not _activation(layer)][-1] for part in writes]
    first = [_layers(part)[0] for part in reads]
    if not all(isinstance(layer, _CONVOLUTIONS) for layer in (*last, *first)):
        raise ConfigError(
            "the latent of this codec cannot be scaled: layers other than convolutions produce or "
            "read it"
        )
    return cast("list[_Convolution]", last), cast("list[_Convolution]", first)


def _layers(part: nn.Module) -> list[nn.Module]:
    if isinstance(part, nn.Sequential):
        return [layer for below in part for layer in _layers(below)]
    return [part]


def _activation(layer: nn.Module) -> bool:
    return isinstance(layer, nn.ReLU | nn.LeakyReLU)
