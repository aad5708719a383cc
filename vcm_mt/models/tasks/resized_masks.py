"""Masks resized for a detector where pictures are loaded, and not in the training's process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray

from vcm_mt.models.tasks.geometry import target_size
from vcm_mt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeMasks:
    """Resizes a picture's masks ahead, as :class:`.MMDetTask` will ask for them.

    The masks stay those of the native picture: a task with another resize finds what it would
    have found. Stands behind what changes the picture.

    Args:
        scale: The detector's, see mmdet's ``Resize``.
        keep_ratio: Likewise.
    """

    def __init__(self, scale: tuple[int, int], keep_ratio: bool = True) -> None:
        self.resize = {"scale": scale, "keep_ratio": keep_ratio}

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put ``gt_masks`` into a form that knows them resized; polygons stay as they are."""
        masks = results.get("gt_masks")
        if isinstance(masks, BitmapMasks):
            size = target_size(torch.Size((masks.height, masks.width)), self.resize)
            results["gt_masks"] = ResizedMasks(masks, masks.resize(size))
        return results


class ResizedMasks(BitmapMasks):
    """Masks that have been resized before they are asked for it.

    Args:
        masks: As they are.
        resized: The same, resized.
    """

    def __init__(self, masks: BitmapMasks, resized: BitmapMasks) -> None:
        super().__init__(masks.masks, masks.height, masks.width)
        self.resized = resized

    def resize(self, out_shape: tuple[int, int], interpolation: str = "nearest") -> BitmapMasks:
        """What is there, if it has that size."""
        there = (self.resized.height, self.resized.width)
        if there == tuple(out_shape) and interpolation == "nearest":
            return self.resized
        return super().resize(out_shape, interpolation)

    def __getitem__(self, index: Any) -> ResizedMasks:
        """Some of them."""
        return ResizedMasks(super().__getitem__(index), self.resized[index])

    def __reduce__(self) -> tuple[Callable[..., ResizedMasks], tuple[_Crops, _Crops]]:
        """As crops: a loader's worker hands over a tenth of the bytes, or less."""
        return _from_crops, (_cropped(self.masks), _cropped(self.resized.masks))


class _Crops(NamedTuple):
    """Masks without their empty rims: where each one begins, and what is left."""

    shape: tuple[int, ...]
    corners: list[tuple[int, int]]
    crops: list[NDArray[Any]]


def _cropped(masks: NDArray[Any]) -> _Crops:
    corners, crops = [], []
    for mask in masks:
        places = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        (top, bottom), (left, right) = ((p[0], p[-1] + 1) if len(p) else (0, 0) for p in places)
        corners.append((int(top), int(left)))
        crops.append(mask[top:bottom, left:right])
    return _Crops(masks.shape, corners, crops)


def _pasted(given: _Crops) -> BitmapMasks:
    dtype = given.crops[0].dtype if given.crops else np.uint8
    masks = np.zeros(given.shape, dtype)
    for mask, (top, left), crop in zip(masks, given.corners, given.crops, strict=True):
        mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return BitmapMasks(masks, *given.shape[1:])


def _from_crops(masks: _Crops, resized: _Crops) -> ResizedMasks:
    return ResizedMasks(_pasted(masks), _pasted(resized))
