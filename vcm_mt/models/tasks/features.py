"""How far a frozen network's feature maps moved: a dense signal beside its own loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def feature_distance(
    maps: Sequence[Tensor],
    wanted: Sequence[Tensor],
    foreground: Tensor,
    background: float = 1.0,
) -> Tensor:
    """Relative squared error of feature maps, mean over maps and pictures.

    Per map of a picture, sum(w * (f(x_hat) - f(x))^2) / sum(w * f(x)^2) with w = 1 on cells that
    touch the foreground and ``background`` elsewhere: what surrounds the objects may change as
    long as the network's own loss does not mind.

    Args:
        maps: Feature maps of the decoded pictures, each [B, C, h, w].
        wanted: Those of the originals, alike.
        foreground: [B, 1, H, W], 1 where an object is and 0 elsewhere, in the network's input.
        background: Weight of all other places, in [0, 1].

    Returns:
        A scalar, 0 for equal maps.
    """
    errors = []
    for got, want in zip(maps, wanted, strict=True):
        objects = F.adaptive_max_pool2d(foreground, want.shape[-2:])
        weight = background + (1 - background) * objects
        energy = (weight * want.square()).sum((1, 2, 3))
        error = (weight * (got - want).square()).sum((1, 2, 3))
        errors.append((error / energy.clamp_min(torch.finfo(want.dtype).tiny)).mean())
    return torch.stack(errors).mean()


def boxes_to_map(boxes: Sequence[Tensor], size: Sequence[int], like: Tensor) -> Tensor:
    """A map [B, 1, H, W] that is 1 inside each picture's boxes [n, 4] (x1, y1, x2, y2 in px)."""
    inside = like.new_zeros(len(boxes), 1, *size)
    for picture, found in zip(inside, boxes, strict=True):
        low, high = found[:, :2].floor().long().clamp_min(0), found[:, 2:].ceil().long()
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True):
            picture[:, top:bottom, left:right] = 1
    return inside
