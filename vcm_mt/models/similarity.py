"""MS-SSIM, as people's loss and as a measure."""

from __future__ import annotations

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

#: Shortest side in pixels for which its five scales of an 11-pixel window exist.
SMALLEST = 161


def similarity(decoded: Tensor, original: Tensor, peak: float) -> Tensor | None:
    """MS-SSIM of each picture (Wang et al. 2003); ``None`` for pictures too small for it.

    Args:
        decoded: float [B, 3, H, W] in [0, peak].
        original: Alike.
        peak: The largest value.

    Returns:
        float [B], 1 for equal pictures.
    """
    if min(original.shape[-2:]) < SMALLEST:
        return None
    # In this order of memory its convolutions, one per channel, are quicker on a CPU; on a GPU
    # such ones are reported to be slower in it.
    on_cpu = original.device.type == "cpu"
    order = torch.channels_last if on_cpu else torch.contiguous_format
    x, y = (p.contiguous(memory_format=order) for p in (decoded, original))
    return ms_ssim(x, y, data_range=peak, size_average=False)
