"""True sizes of the pictures of a batch, which is padded to the largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Size = tuple[int, int]


def true_size(sample: Any) -> Size:
    """Height and width in pixels of a data sample's picture."""
    height, width = sample.img_shape[:2]
    return int(height), int(width)


def pixels_of(sample: Any) -> int:
    """Number of native pixels of a data sample's picture."""
    height, width = true_size(sample)
    return height * width


def by_size(data_samples: list[Any]) -> dict[Size, list[int]]:
    """Group the indexes of a batch's pictures by their true size."""
    groups: dict[Size, list[int]] = {}
    for index, sample in enumerate(data_samples):
        groups.setdefault(true_size(sample), []).append(index)
    return groups


def in_batch_order(parts: Sequence[Tensor], groups: Mapping[Size, list[int]]) -> Tensor:
    """Join tensors [b, ...], one for each group of :func:`by_size`, in the order of the batch."""
    if len(parts) == 1:
        return parts[0]
    order = [index for members in groups.values() for index in members]
    places = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat(list(parts))[places]


def zero_padded(pictures: Tensor, size: Sequence[int]) -> Tensor:
    """Extend pictures [B, 3, h, w] with zeros on the right and below to ``size``, (H, W)."""
    below, right = (to - now for to, now in zip(size, pictures.shape[-2:], strict=True))
    return F.pad(pictures, (0, right, 0, below)) if below or right else pictures
