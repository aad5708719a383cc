"""MS-SSIM, as a loss for human viewers and as a metric."""

from __future__ import annotations

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

#: Shortest side in pixels for which the five scales of an 11-pixel window exist.
SMALLEST = 161


def similarity(decoded: Tensor, original: Tensor, peak: float) -> Tensor | None:
    """MS-SSIM of each picture (Wang et al. 2003).

    Args:
        decoded: float [B, 3, H, W] in [0, peak].
        original: float [B, 3, H, W] in [0, peak].
        peak: The largest value.

    Returns:
        float [B], 1 for equal pictures; ``None`` if a side is shorter than :data:`SMALLEST`.
    """
    if min(original.shape[-2:]) < SMALLEST:
        return None
    # Its depthwise convolutions are faster in channels_last on a CPU; on a GPU they are reported
    # to be slower in it.
    on_cpu = original.device.type == "cpu"
    layout = torch.channels_last if on_cpu else torch.contiguous_format
    x, y = (p.contiguous(memory_format=layout) for p in (decoded, original))
    return ms_ssim(x, y, data_range=peak, size_average=False)
