"""bfloat16 where it decides nothing that both ends must agree on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def transformed(transform: nn.Module, x: Tensor, amp: bool) -> Tensor:
    """Run ``g_a`` or ``g_s``; returns float32.

    With ``amp`` its convolutions multiply in bfloat16 (in training GDN stays in float32),
    which is faster where the processor knows the type (``make bench-codec``). Either end of a
    channel may choose for itself: the entropy parameters come from what was sent alone.
    """
    with torch.autocast(x.device.type, torch.bfloat16, enabled=amp):
        return transform(x).float()
