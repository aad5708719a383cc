"""The distance between a frozen network's feature maps of decoded and original pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def feature_distance(
    maps: Sequence[Tensor],
    originals: Sequence[Tensor],
    foreground: Tensor,
    background: float = 1.0,
) -> Tensor:
    """Relative squared error of feature maps, mean over maps and pictures.

    For one map of one picture it is sum(w * (f(x_hat) - f(x))^2) / sum(w * f(x)^2), with w = 1 on
    cells that touch the foreground and w = ``background`` on the others.

    Args:
        maps: Feature maps of the decoded pictures, each [B, C, h, w].
        originals: Feature maps of the originals, each [B, C, h, w].
        foreground: [B, 1, H, W] in the network's input, 1 on objects and 0 elsewhere.
        background: Weight of all other cells, in [0, 1].

    Returns:
        A scalar, 0 for equal maps.
    """
    errors = []
    for decoded, original in zip(maps, originals, strict=True):
        objects = F.adaptive_max_pool2d(foreground, original.shape[-2:])
        weight = background + (1 - background) * objects
        energy = (weight * original.square()).sum((1, 2, 3))
        error = (weight * (decoded - original).square()).sum((1, 2, 3))
        errors.append((error / energy.clamp_min(torch.finfo(original.dtype).tiny)).mean())
    return torch.stack(errors).mean()


def boxes_to_map(boxes: Sequence[Tensor], size: Sequence[int], like: Tensor) -> Tensor:
    """A map [B, 1, H, W], 1 inside each picture's boxes [n, 4] (x1, y1, x2, y2 in pixels)."""
    inside = like.new_zeros(len(boxes), 1, *size)
    for picture, own in zip(inside, boxes, strict=True):
        low, high = own[:, :2].floor().long().clamp_min(0), own[:, 2:].ceil().long()
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True):
            picture[:, top:bottom, left:right] = 1
    return inside
