"""A finer or coarser quantiser for a trained codec, without a new parameter."""

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
    """Multiply y by a factor, so that it is quantised in steps of 1 / factor of what they were.

    y, its scales and its means grow by the factor, and what reads them undoes it: but for the
    finer rounding every network computes what it did, and z stays.

    Args:
        transmitter: Its tables are to be built anew afterwards.
        receivers: All that it has.
        factor: Above 0; the rate rises with it.

    Raises:
        ConfigError: For a codec in which other layers than convolutions write or read y.
    """
    entropy = transmitter.entropy
    writes, reads = [transmitter.g_a], [entropy.h_a, *(one.g_s for one in receivers)]
    if isinstance(entropy, ContextHyperprior):
        writes.append(entropy.entropy_parameters)
        reads.append(entropy.context_prediction)
    else:
        writes.append(entropy.h_s)
    # Behind the last convolution an activation may stand, which lets a factor above 0 through.
    last = [[layer for layer in _layers(part) if not _activation(layer)][-1] for part in writes]
    first = [_layers(part)[0] for part in reads]
    if not all(isinstance(layer, _CONVOLUTIONS) for layer in (*last, *first)):
        raise ConfigError("other layers than convolutions write or read this codec's latent")
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
