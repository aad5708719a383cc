"""A codec's transforms for coding on a CPU: strip by strip, one strip per thread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vcm_mt.models.fast import winograd
from vcm_mt.models.fast.conv import FastConv
from vcm_mt.models.fast.deconv import SubpixelDeconv
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.fast.winograd import is_fast, products_of, shares
from vcm_mt.numerics.scratch import scratch
from vcm_mt.numerics.threads import alone

#: Values of a strip, chosen to stay in a core's cache.
_STRIP = 1 << 18


class FastTransform(nn.Sequential):
    """A faster twin of ``g_a`` or ``g_s`` for coding.

    It has the same parameters, and the same values up to the rounding of float32. Each convolution
    and the GDN after it are computed strip by strip, so that the map between two stages is written
    once; each thread computes a share of its rows. Layers with fewer channels than
    :mod:`vcm_mt.models.fast.winograd` supports run unchanged.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to a latent, or a latent to a picture."""
        if not _is_coding(x):
            return super().forward(x)
        layers: list[nn.Module] = list(self)
        with ExitStack() as maps:
            while layers:
                layer, *layers = layers
                gdn = layers[0] if layers and isinstance(layers[0], FastGDN) else None
                strips = _strips_of(layer, gdn, x)
                if strips is None:
                    x = layer(x)
                else:
                    layers = layers[gdn is not None :]
                    shape = strips.shape(x)
                    out = maps.enter_context(_map(shape)) if layers else x.new_empty(shape)
                    x = _stage(strips, gdn, x, out.permute(0, 3, 1, 2))
        return x


class _Strips(Protocol):
    """A layer that computes some rows of its output at a time."""

    @property
    def side(self) -> int:
        """Rows of the output that are computed together."""

    def shape(self, x: Tensor) -> tuple[int, int, int, int]:
        """[B, H, W, D] of the output."""

    def strips(self, x: Tensor, first: int, last: int) -> Iterator[Tensor]:
        """Rows ``side * first`` to ``side * last`` of the output, [1, D, rows, W] at a time."""


class _Convolution:
    """A plain convolution."""

    side = 1

    def __init__(self, layer: nn.Conv2d) -> None:
        self.layer = layer
        self.padding = cast("tuple[int, int]", layer.padding)

    def shape(self, x: Tensor) -> tuple[int, int, int, int]:
        layer = self.layer
        given = zip(x.shape[-2:], self.padding, layer.kernel_size, layer.stride, strict=True)
        height, width = ((n + 2 * pad - kernel) // step + 1 for n, pad, kernel, step in given)
        return len(x), height, width, layer.out_channels

    def strips(self, x: Tensor, first: int, last: int) -> Iterator[Tensor]:
        layer, (down, right) = self.layer, self.padding
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        rows = max(1, _STRIP // (layer.out_channels * self.shape(x)[2]))
        for begin in range(first, last, rows):
            end = min(begin + rows, last)
            given = _rows(x, stride * begin - down, stride * (end - 1) - down + kernel)
            yield F.conv2d(given, layer.weight, layer.bias, layer.stride, (0, right))


class _Subpixels:
    """A :class:`SubpixelDeconv`, two rows at a time."""

    side = 2

    def __init__(self, layer: SubpixelDeconv) -> None:
        self.kernels, self.bias = layer.phases()

    def shape(self, x: Tensor) -> tuple[int, int, int, int]:
        return len(x), 2 * x.shape[2], 2 * x.shape[3], len(self.kernels) // 4

    def strips(self, x: Tensor, first: int, last: int) -> Iterator[Tensor]:
        rows = max(1, _STRIP // (x.shape[1] * x.shape[3]))
        for begin in range(first, last, rows):
            end = min(begin + rows, last)
            given = _rows(x, begin - 1, end + 1)
            yield F.pixel_shuffle(F.conv2d(given, self.kernels, self.bias, padding=(0, 1)), 2)


def _rows(x: Tensor, begin: int, end: int) -> Tensor:
    """Rows ``begin`` to ``end`` of [B, C, H, W]; rows outside are zeros."""
    inside = x[:, :, max(begin, 0) : end]
    above, below = max(-begin, 0), max(end - x.shape[2], 0)
    return F.pad(inside, (0, 0, above, below)) if above or below else inside


def _is_coding(x: Tensor) -> bool:
    return (
        (x.device.type, x.dtype) == ("cpu", torch.float32)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _strips_of(layer: nn.Module, gdn: FastGDN | None, x: Tensor) -> _Strips | None:
    """The strip-wise computation of a layer; ``None`` if that is not faster."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and is_fast(x, layer):
        return products_of(layer)
    if isinstance(layer, SubpixelDeconv) and layer.in_channels >= winograd.LEAST_CHANNELS:
        return _Subpixels(layer)
    if gdn is not None and isinstance(layer, FastConv) and _is_plain(layer):
        return _Convolution(layer)
    return None


def _is_plain(layer: nn.Conv2d) -> bool:
    return (
        layer.out_channels >= winograd.LEAST_CHANNELS
        and (layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), 1, "zeros")
        and not isinstance(layer.padding, str)
        and layer.weight.dtype == torch.float32
    )


@contextmanager
def _map(shape: tuple[int, int, int, int]) -> Iterator[Tensor]:
    """Memory of a map between two layers."""
    with scratch(math.prod(shape), torch.float32) as memory:
        yield memory.view(shape)


def _stage(layer: _Strips, gdn: FastGDN | None, x: Tensor, out: Tensor) -> Tensor:
    """``gdn(layer(x))``, or ``layer(x)`` without a GDN, in ``out``, channels_last."""
    x = x.contiguous(memory_format=torch.channels_last)

    def fill(index: int, first: int, last: int) -> None:
        at = first * layer.side
        for strip in layer.strips(x[index : index + 1], first, last):
            place = out[index : index + 1, :, at : at + strip.shape[2]]
            at += strip.shape[2]
            if gdn is None:
                place.copy_(strip)
            else:
                gdn.write(strip, place)

    alone(fill, shares(len(x), -(-out.shape[2] // layer.side)))
    return out
