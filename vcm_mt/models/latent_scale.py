"""Change of a trained codec's quantisation step, without a new parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from vcm_mt.bitstream.context import ContextHyperprior
from vcm_mt.errors import ConfigError
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter

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
    # ReLU and LeakyReLU after the last convolution commute with a factor above 0.
    last = [[layer for layer in _layers(part) if not _activation(layer)][-1] for part in writes]
    first = [_layers(part)[0] for part in reads]
    if not all(isinstance(layer, _CONVOLUTIONS) for layer in (*last, *first)):
        raise ConfigError(
            "the latent of this codec cannot be scaled: layers other than convolutions produce or "
            "read it"
        )
    for layer in cast("list[nn.Conv2d]", last):
        layer.weight *= factor
        if layer.bias is not None:
            layer.bias *= factor
    for layer in cast("list[nn.Conv2d]", first):
        layer.weight /= factor


def _layers(part: nn.Module) -> list[nn.Module]:
    if isinstance(part, nn.Sequential):
        return [layer for below in part for layer in _layers(below)]
    return [part]


def _activation(layer: nn.Module) -> bool:
    return isinstance(layer, nn.ReLU | nn.LeakyReLU)
