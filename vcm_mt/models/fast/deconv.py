"""Faster twins of PyTorch's transposed convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from vcm_mt.bitstream.products import phases as phases_of
from vcm_mt.models.fast.gdn import FastGDN, taken_next
from vcm_mt.models.fast.winograd import is_fast, products_of

#: Largest number of output channels for which a sub-pixel convolution is faster.
FEW_CHANNELS = 4
#: Values of a strip, chosen to stay in a core's cache.
_STRIP = 1 << 18


class FastDeconv(nn.ConvTranspose2d):
    """A transposed convolution that trains faster on a CPU.

    It has the same parameters and gradients. oneDNN sums the gradient of a transposed convolution's
    bias slowly; here that is a plain sum. When coding it uses
    :mod:`vcm_mt.models.fast.winograd` if that fits.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[B, C, H, W] -> [B, D, stride * H, stride * W], for a codec's layers."""
        if output_size is None and is_fast(x, self):
            return products_of(self)(x)
        bias = self.bias
        if x.is_cuda or output_size or bias is None or not torch.is_grad_enabled():
            return super().forward(x, output_size)
        kind = taken_next(x)
        geometry = (self.stride, self.padding, self.dilation, self.output_padding, self.groups)
        return _Deconvolved.apply(x.to(kind), self.weight.to(kind), bias.to(kind), geometry)


class _Deconvolved(torch.autograd.Function):
    """PyTorch's transposed convolution; the gradient of the bias is computed as the sum of dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, geometry: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        stride, padding, dilation, beyond, groups = geometry
        return torch.convolution(x, weight, bias, stride, padding, dilation, True, beyond, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, beyond, groups = ctx.geometry
        wanted = (*ctx.needs_input_grad[:2], False)
        dx, dweight, _ = torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, dilation, True, beyond, groups, wanted
        )
        return dx, dweight, dy.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None


class SubpixelDeconv(nn.ConvTranspose2d):
    """A transposed 5x5 convolution of stride 2 to a few channels, as a sub-pixel convolution.

    It has the same parameters and computes the same sums. Each of the four phases of the output is
    a 3x3 convolution of the input (Shi et al. 2016). One convolution to four times as many channels
    fills the processor's vector registers, which three output channels do not.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: ARG002
        """[B, C, H, W] -> [B, 3, 2 H, 2 W]."""
        return F.pixel_shuffle(F.conv2d(x, *self.phases(), padding=1), 2)

    def phases(self) -> tuple[Tensor, Tensor | None]:
        """Kernels [4 * 3, C, 3, 3] and biases of the four phases."""
        kernels = phases_of(self.weight.transpose(0, 1))
        # Repeats each bias four times; torch.compile fails on repeat_interleave here.
        four = torch.arange(len(kernels), device=kernels.device) // 4
        bias = None if self.bias is None else self.bias[four]
        return kernels.contiguous(memory_format=torch.channels_last), bias

    def behind(self, gdn: FastGDN, x: Tensor) -> Tensor:
        """Compute this layer on ``gdn(x)`` when coding: [B, 3, 2 H, 2 W].

        It works strip by strip, so that ``gdn(x)``, the largest map of all, is never written to
        memory. This layer computes in float32, ``gdn`` in the dtype of x.

        Args:
            gdn: The layer before.
            x: Its input, float [B, C, H, W].
        """
        return torch.cat([self._picture(gdn, one) for one in x.split(1)])

    def _picture(self, gdn: FastGDN, x: Tensor) -> Tensor:
        kernels, bias = self.phases()
        _, channels, height, width = x.shape
        rows = height if x.is_cuda else min(height, max(1, _STRIP // (channels * width)))
        parts: list[Tensor] = []
        for strip in x.split(rows, dim=2):
            count = strip.shape[2]
            if not parts:
                # Starts with two rows of the previous strip; zeros above the first strip.
                wide = torch.zeros_like(strip[:, :, :1], dtype=torch.float32)
                wide = wide.repeat(1, 1, count + 2, 1)
                wide = wide.contiguous(memory_format=torch.channels_last)
            gdn.write(strip, wide[:, :, 2 : 2 + count])
            parts.append(F.conv2d(wide[:, :, : 2 + count], kernels, bias, padding=(0, 1)))
            wide[:, :, :2] = wide[:, :, count : 2 + count].clone()
        wide[:, :, 2] = 0
        parts.append(F.conv2d(wide[:, :, :3], kernels, bias, padding=(0, 1)))
        return F.pixel_shuffle(torch.cat(parts, dim=2)[:, :, 1:], 2)


def fits_subpixel(layer: nn.Module) -> bool:
    """Whether a layer can be a :class:`SubpixelDeconv`."""
    return (
        type(layer) is nn.ConvTranspose2d
        and layer.out_channels <= FEW_CHANNELS
        and (layer.kernel_size, layer.stride) == ((5, 5), (2, 2))
        and (layer.padding, layer.output_padding) == ((2, 2), (1, 1))
        and (layer.dilation, layer.groups) == ((1, 1), 1)
    )
