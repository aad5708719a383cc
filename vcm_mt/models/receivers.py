"""theta_d: a synthesis transform per receiver."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrize

from vcm_mt.errors import ConfigError
from vcm_mt.models.fast.deconv import SubpixelDeconv
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.precision import amp_dtype, transformed


class Receiver(nn.Module):
    """Latent in, picture out: ``g_s`` and nothing that decides the bits.

    Args:
        g_s: The synthesis transform.
        rank: Makes it a light receiver: ``g_s`` stays as it is, and what is trained is a change
            of this rank to every convolution's weight, and the biases. 0 for a full one.
        depth: Makes it a deep receiver: so many :class:`LatentBlock` stand in front of ``g_s``,
            which see farther around a place than ``g_s`` does. 0 for none.

    Raises:
        ConfigError: For a rank or depth below 0, or both above.
    """

    def __init__(self, g_s: nn.Module, rank: int = 0, depth: int = 0) -> None:
        super().__init__()
        if rank < 0:
            raise ConfigError(f"a light receiver's rank must be 1 or more, not {rank}")
        if depth < 0:
            raise ConfigError(f"a deep receiver's depth must be 1 or more, not {depth}")
        if rank and depth:
            raise ConfigError("a receiver is light or deep, not both")
        self.g_s = g_s
        self.rank = rank
        self.depth = depth
        if depth:
            channels = _convolutions(g_s)[0].in_channels
            self.context = nn.Sequential(*(LatentBlock(channels) for _ in range(depth)))
        self.amp: bool | str = False  # see vcm_mt.models.precision
        if rank:
            g_s.requires_grad_(False)
            for layer in _convolutions(g_s):
                parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
                if layer.bias is not None:
                    layer.bias.requires_grad_(True)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Synthesise pictures in [0, 1] from ``y_hat`` [B, M, h, w]: [B, 3, 16 h, 16 w].

        Values are clamped with a straight-through gradient, so that a pixel beyond the
        range can find its way back.
        """
        if self.depth:
            y_hat = self._with_context(y_hat)
        if not torch.is_grad_enabled():
            return self._decoded(y_hat).clamp_(0, 1)
        return _Clamp.apply(transformed(self.g_s, y_hat, self.amp))

    def _with_context(self, y_hat: Tensor) -> Tensor:
        """In float32 when decoding, so that no pixel moves by a level."""
        if torch.is_grad_enabled():
            return transformed(self.context, y_hat, self.amp)
        return cast("Tensor", self.context(y_hat))

    def _decoded(self, y_hat: Tensor) -> Tensor:
        """With ``amp`` only what costs most in bfloat16, so that no pixel moves by a level.

        That are the layers from a quarter of the picture's height on but the last one: some seven
        tenths of the work.
        """
        if not isinstance(self.g_s, nn.Sequential):
            return transformed(self.g_s, y_hat, self.amp)
        half = amp_dtype(self.amp, y_hat.device)
        if half is None:
            return cast("Tensor", self.g_s(y_hat))
        x = y_hat
        layers: list[Any] = list(self.g_s)
        *_, gdn, last = layers
        for layer in layers[:-1]:
            if layer is gdn and isinstance(last, SubpixelDeconv) and isinstance(gdn, FastGDN):
                return last.behind(gdn, x)  # strip by strip
            costly = x.shape[-2] >= 4 * y_hat.shape[-2]
            with torch.autocast(x.device.type, half, enabled=costly):
                x = layer(x)
        return cast("Tensor", last(x.float()))

    def adapter(self) -> dict[str, Tensor]:
        """A light receiver's own part; the rest is the ``g_s`` that it started from."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def merge(self) -> None:
        """Write a light receiver's change into its weights: then it is as fast as a full one."""
        for layer in _convolutions(self.g_s):
            if parametrize.is_parametrized(layer):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        self.rank = 0


class LatentBlock(nn.Module):
    """A residual block over a latent [B, M, h, w]: x + W2 gelu(W1 x), 3x3 each, at first none.

    A latent has a 256th of a picture's places: looking around is cheap there.

    Args:
        channels: M.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast("Tensor", self.out.bias))

    def forward(self, x: Tensor) -> Tensor:
        """The latent and what its surroundings say about it."""
        return x + cast("Tensor", self.out(F.gelu(self.into(x))))


class _Clamp(torch.autograd.Function):
    """Clamp to [0, 1]; the gradient passes as if nothing had been done."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Tensor:  # noqa: ARG004
        return dx


def named_receivers(receivers: nn.ModuleDict) -> list[tuple[str, Receiver]]:
    """The receivers of a system with their names."""
    return [(name, cast("Receiver", receiver)) for name, receiver in receivers.items()]


class LowRank(nn.Module):
    """A weight's change by a product of two thin matrices (Hu et al. 2022), at first none.

    Args:
        weight: Of a convolution, [A, B, k, k].
        rank: Columns of the first matrix, rows of the second.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        start = torch.randn(rank, columns) / math.sqrt(columns)  # the same on every device
        self.down = nn.Parameter(start.to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return weight + (self.up @ self.down).view(weight.shape)


def _convolutions(g_s: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [m for m in g_s.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
