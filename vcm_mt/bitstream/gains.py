"""One codec for several rates: a quantisation step per quality and channel of y."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vcm_mt.errors import ConfigError

_SMALLEST = 1e-4


class Gains(nn.Module):
    """A gain per quality and channel around a codec's hyperprior (Cui et al. 2021).

    .. code-block:: none

        y --> * gain --> hyperprior, bits --> * inverse --> y_hat

    The larger the gains of a quality, the finer its quantisation. The hyperprior sees the scaled
    latent, so that the bits of z depend on the quality as well. The inverse gains start as the
    reciprocals of the gains and are trained separately: they tell receivers the quality.

    Args:
        start: Initial gain of each quality, above 1e-4, from low rates to high ones.
        channels: Channels of y, M.

    Raises:
        ConfigError: If a gain is not a finite number above 1e-4.
    """

    def __init__(self, start: Sequence[float], channels: int) -> None:
        super().__init__()
        if not all(gain >= _SMALLEST and math.isfinite(gain) for gain in start):
            raise ConfigError(f"gains must be numbers above {_SMALLEST}, not {list(start)}")
        self.gain = nn.Parameter(torch.tensor(start)[:, None].repeat(1, channels))
        self.inverse = nn.Parameter(1 / self.gain.detach())

    def __len__(self) -> int:
        """The number of qualities."""
        return len(self.gain)

    def forward(self, qualities: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The gains and inverse gains of pictures, each float [B, M, 1, 1].

        Args:
            qualities: The quality of each picture, from 1.

        Raises:
            ConfigError: For a quality out of range.
        """
        if not all(1 <= quality <= len(self) for quality in qualities):
            raise ConfigError(
                f"this codec has qualities 1 to {len(self)}, not {sorted(set(qualities))}"
            )
        rows = [quality - 1 for quality in qualities]
        gain, inverse = self.gain[rows, :, None, None], self.inverse[rows, :, None, None]
        return gain.clamp_min(_SMALLEST), inverse
