"""theta_d: a synthesis transform per receiver."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vcm_mt.models.precision import transformed


class Receiver(nn.Module):
    """Latent in, picture out: ``g_s`` and nothing that decides the bits.

    Args:
        g_s: The synthesis transform.
    """

    def __init__(self, g_s: nn.Module) -> None:
        super().__init__()
        self.g_s = g_s
        self.amp = False  # see vcm_mt.models.precision

    def forward(self, y_hat: Tensor) -> Tensor:
        """Synthesise pictures in [0, 1] from ``y_hat`` [B, M, h, w]: [B, 3, 16 h, 16 w].

        Values are clamped with a straight-through gradient, so that a pixel beyond the
        range can find its way back.
        """
        x_hat = transformed(self.g_s, y_hat, self.amp)
        if not torch.is_grad_enabled():
            return x_hat.clamp_(0, 1)
        return x_hat + (x_hat.clamp(0, 1) - x_hat).detach()
