"""Exchange the layers of a codec for their faster twins, in place."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from compressai.layers import GDN
from compressai.models.base import CompressionModel
from torch import nn

from vcm_mt.models.fast.conv import FastConv, StridedPointwise
from vcm_mt.models.fast.deconv import FastDeconv, SubpixelDeconv, fits_subpixel
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.fast.transform import FastTransform


def use_fast_layers(codec: CompressionModel) -> None:
    """Give each GDN and convolution of a codec the class of its faster twin.

    Parameters and their names stay, so that weights load either way.
    """
    behind = behind_convolutions(codec)
    modules: Iterable[Any] = codec.modules()
    for module in modules:
        if type(module) is GDN:
            module.__class__ = FastGDN
            module.own_input = module in behind
        elif type(module) is nn.Conv2d:
            module.__class__ = FastConv
        elif fits_subpixel(module):
            module.__class__ = SubpixelDeconv
        elif type(module) is nn.ConvTranspose2d:
            module.__class__ = FastDeconv
    for transform in (codec.g_a, codec.g_s):
        if type(transform) is nn.Sequential:
            transform.__class__ = FastTransform


def avoid_strided_pointwise(codec: nn.Module) -> None:
    """Give each strided 1x1 convolution the class :class:`StridedPointwise`."""
    for module in codec.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (1, 1) != module.stride:
            module.__class__ = StridedPointwise


def behind_convolutions(codec: nn.Module) -> set[nn.Module]:
    """The layers whose input is the output of a convolution and is read by no other layer."""
    return {
        after
        for parts in codec.modules()
        if isinstance(parts, nn.Sequential)
        for before, after in pairwise(parts)
        if isinstance(before, nn.Conv2d | nn.ConvTranspose2d)
    }
