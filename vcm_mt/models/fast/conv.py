"""Convolutions of a codec: a faster one for coding, and one that avoids an error in oneDNN."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vcm_mt.models.fast.winograd import is_fast, products_of


class FastConv(nn.Conv2d):
    """A convolution that uses :mod:`vcm_mt.models.fast.winograd` when coding.

    It has the same parameters and, up to the rounding of float32, the same values. Training, and
    layers for which :func:`is_fast` is false, use PyTorch's convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H / stride, W / stride]."""
        return products_of(self)(x) if is_fast(x, self) else super().forward(x)


class StridedPointwise(nn.Conv2d):
    """A strided 1x1 convolution, computed without a stride on every stride-th place.

    With few input channels in channels_last, oneDNN's gradient of such a layer's weights writes
    beyond its memory (oneDNN issue 6035): wrong weights, or a crash. This is a correction, not an
    optimisation, and is applied to every codec.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H / stride, W / stride]."""
        down, right = cast("tuple[int, int]", self.stride)
        return F.conv2d(x[..., ::down, ::right], self.weight, self.bias)
