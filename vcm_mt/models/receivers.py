"""theta_d: one synthesis transform per receiver."""

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
from vcm_mt.models.resampling import scaled_up


class Receiver(nn.Module):
    """Latent in, picture out: ``g_s``, which has no influence on the bitstream.

    .. code-block:: none

        y_hat --> latent adapter (if depth > 0) --> g_s --> clamp --> x_hat

    Args:
        g_s: The synthesis transform.
        rank: Above 0, a LoRA receiver: the weights of ``g_s`` are frozen, and an update of this
            rank to every convolution's weight is trained, and the biases.
        depth: Above 0, a receiver with a latent adapter: this many :class:`LatentBlock` before
            ``g_s``, which widen its receptive field.

    Raises:
        ConfigError: If rank or depth is below 0, or both are above 0.
    """

    def __init__(self, g_s: nn.Module, rank: int = 0, depth: int = 0) -> None:
        super().__init__()
        if rank < 0:
            raise ConfigError(f"the rank of a LoRA receiver must be 1 or more, not {rank}")
        if depth < 0:
            raise ConfigError(f"a latent adapter must have 1 block or more, not {depth}")
        if rank and depth:
            raise ConfigError("give a receiver either LoRA weights (rank) or an adapter (depth)")
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
        """Synthesise pictures [B, 3, 16 h, 16 w] in [0, 1] from ``y_hat`` [B, M, h, w].

        With a ``downscale`` (:mod:`vcm_mt.models.resampling`) they are larger by it.

        Values are clamped with a straight-through gradient, so that a pixel out of range still
        gets one.
        """
        if self.depth:
            y_hat = self._with_context(y_hat)
        if not torch.is_grad_enabled():
            return scaled_up(self._decoded(y_hat), self.g_s).clamp_(0, 1)
        return _Clamp.apply(scaled_up(transformed(self.g_s, y_hat, self.amp), self.g_s))

    def _with_context(self, y_hat: Tensor) -> Tensor:
        """Apply the latent adapter; in float32 when decoding, so that no pixel changes by 1/255."""
        if torch.is_grad_enabled():
            return transformed(self.context, y_hat, self.amp)
        return cast("Tensor", self.context(y_hat))

    def _decoded(self, y_hat: Tensor) -> Tensor:
        """Apply ``g_s`` when decoding.

        With ``amp``, only the layers at a quarter and at half of the picture's height run in
        bfloat16, about 70 % of the work: no pixel changes by 1/255 or more.
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

    def lora_state(self) -> dict[str, Tensor]:
        """The trained parameters of a LoRA receiver; the others are those of its base."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def merge(self) -> None:
        """Add the LoRA update to the weights: the receiver becomes a full one, and as fast."""
        for layer in _convolutions(self.g_s):
            if parametrize.is_parametrized(layer):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        self.rank = 0


class LatentBlock(nn.Module):
    """A residual block on a latent [B, M, h, w]: x + W2 gelu(W1 x), both convolutions 3x3.

    It is the identity when it is built. A latent has 1/256 of the positions of its picture, so
    that a wide receptive field is cheap there.

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
        """[B, M, h, w] -> [B, M, h, w]."""
        return x + cast("Tensor", self.out(F.gelu(self.into(x))))


class _Clamp(torch.autograd.Function):
    """Clamp to [0, 1] with a straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Tensor:  # noqa: ARG004
        return dx


def named_receivers(receivers: nn.ModuleDict) -> list[tuple[str, Receiver]]:
    """The receivers of a system and their names."""
    return [(name, cast("Receiver", receiver)) for name, receiver in receivers.items()]


class LowRank(nn.Module):
    """A low-rank update of a weight (LoRA, Hu et al. 2022), 0 when it is built.

    Args:
        weight: The weight of a convolution, [A, B, k, k].
        rank: Rank of the update, a product of [A, rank] and [rank, B * k * k].
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        start = torch.randn(rank, columns) / math.sqrt(columns)  # on the CPU: equal on all devices
        self.down = nn.Parameter(start.to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight."""
        return weight + (self.up @ self.down).view(weight.shape)


def _convolutions(g_s: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [m for m in g_s.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
