"""One codec for several rates: how finely each level quantises each channel of y."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vcm_mt.errors import ConfigError

_SMALLEST = 1e-4


class Gains(nn.Module):
    """A gain per level and channel around a codec's hyperprior (Cui et al. 2021).

    .. code-block:: none

        y --> * gain --> hyperprior, bits --> * inverse --> y_hat

    The larger a level's gains, the finer its quantisation. The hyperprior sees the latent as it
    is quantised, so that the bits of z follow the level as well. The inverse gains start as the
    gains' reciprocals and are trained apart: they tell every receiver which level it looks at.

    Args:
        start: The levels' gains before training, above 0; from low rates to high ones.
        channels: Channels of y, M.

    Raises:
        ConfigError: For a gain that is not above 0.
    """

    def __init__(self, start: Sequence[float], channels: int) -> None:
        super().__init__()
        if not all(gain >= _SMALLEST and math.isfinite(gain) for gain in start):
            raise ConfigError(f"gains must be numbers above {_SMALLEST}, not {list(start)}")
        self.gain = nn.Parameter(torch.tensor(start)[:, None].repeat(1, channels))
        self.inverse = nn.Parameter(1 / self.gain.detach())

    def __len__(self) -> int:
        """How many levels there are."""
        return len(self.gain)

    def forward(self, levels: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The gains of pictures and their inverse gains, each float [B, M, 1, 1].

        Args:
            levels: Each picture's, from 1.

        Raises:
            ConfigError: For a level that is not there.
        """
        if not all(1 <= level <= len(self) for level in levels):
            raise ConfigError(f"this codec has levels 1 to {len(self)}, not {sorted(set(levels))}")
        rows = [level - 1 for level in levels]
        gain, inverse = self.gain[rows, :, None, None], self.inverse[rows, :, None, None]
        return gain.clamp_min(_SMALLEST), inverse
