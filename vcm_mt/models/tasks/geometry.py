"""Resize and padding of a detector's test pipeline, differentiable, on the decoded picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def geometry_of(pipeline: Iterable[Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The arguments of ``Resize`` and of ``Pad`` in a test pipeline; ``None`` for what it lacks."""
    steps = {step["type"].rsplit(".", 1)[-1]: step for step in pipeline}
    resize = steps.get("Resize")
    if resize is not None:
        keep = resize.get("keep_ratio", False)
        resize = {"scale": tuple(resize["scale"]), "keep_ratio": keep}
    pad = steps.get("Pad")
    return resize, {k: v for k, v in pad.items() if k != "type"} if pad is not None else None


def resized(picture: Tensor, resize: dict[str, Any] | None) -> Tensor:
    """A picture [1, 3, H, W] as mmdet's ``Resize`` would have it; without one, as it is."""
    if resize is None:
        return picture
    size = target_size(picture.shape[-2:], resize)
    if size == tuple(picture.shape[-2:]):
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False)


def target_size(size: torch.Size, resize: dict[str, Any]) -> tuple[int, int]:
    """Height and width after mmdet's ``Resize``; ``scale`` is its (width, height)."""
    height, width = size
    if not resize.get("keep_ratio", True):
        return int(resize["scale"][1]), int(resize["scale"][0])
    long, short = max(resize["scale"]), min(resize["scale"])
    factor = min(long / max(height, width), short / min(height, width))
    # Of a very long picture mmcv would leave no row, and fail: one stays.
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def padded(picture: Tensor, pad: dict[str, Any] | None) -> Tensor:
    """A picture [1, 3, H, W], RGB in [0, 1], as mmdet's ``Pad`` would have it; or as it is."""
    if pad is None:
        return picture
    height, width = picture.shape[-2:]
    tall, wide = height, width
    if pad.get("pad_to_square"):
        tall = wide = max(height, width)
    if pad.get("size_divisor"):
        tall, wide = (side + -side % pad["size_divisor"] for side in (tall, wide))
    elif pad.get("size"):
        wide, tall = (max(a, b) for a, b in zip(pad["size"], (width, height), strict=True))
    colour = pad.get("pad_val", 0)
    colour = colour.get("img", 0) if isinstance(colour, dict) else colour
    bgr = picture.new_tensor(colour).expand(3) / 255  # OpenMMLab's order
    canvas = bgr.flip(0).view(1, 3, 1, 1).repeat(1, 1, tall, wide)
    canvas[..., :height, :width] = picture
    return canvas
