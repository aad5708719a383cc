"""True sizes of the pictures of a batch, which is padded to the largest."""

from __future__ import annotations

from typing import Any


def true_size(sample: Any) -> tuple[int, int]:
    """Height and width in pixels of a data sample's picture."""
    height, width = sample.img_shape[:2]
    return int(height), int(width)


def pixels_of(sample: Any) -> int:
    """Native pixels of a data sample's picture."""
    height, width = true_size(sample)
    return height * width


def by_size(data_samples: list[Any]) -> dict[tuple[int, int], list[int]]:
    """The places in a batch of the pictures of each true size."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, sample in enumerate(data_samples):
        groups.setdefault(true_size(sample), []).append(index)
    return groups
