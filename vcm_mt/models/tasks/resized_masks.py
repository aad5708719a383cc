"""Resizing of masks in the data loader's workers instead of in the training process."""

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
    """Resizes a picture's masks in advance to the size that :class:`.MMDetTask` will ask for.

    The masks themselves stay at native resolution, so that a task with another resize still
    works. Put it after all transforms that change the picture.

    Args:
        scale: ``scale`` of the detector's ``Resize``.
        keep_ratio: ``keep_ratio`` of the detector's ``Resize``.
    """

    def __init__(self, scale: tuple[int, int], keep_ratio: bool = True) -> None:
        self.resize = {"scale": scale, "keep_ratio": keep_ratio}

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``gt_masks`` by :class:`ResizedMasks`; polygons are not changed."""
        masks = results.get("gt_masks")
        if isinstance(masks, BitmapMasks):
            size = target_size(torch.Size((masks.height, masks.width)), self.resize)
            results["gt_masks"] = ResizedMasks(masks, masks.resize(size))
        return results


class ResizedMasks(BitmapMasks):
    """Masks together with a resized copy.

    Args:
        masks: The masks at native resolution.
        resized: The same masks, resized.
    """

    def __init__(self, masks: BitmapMasks, resized: BitmapMasks) -> None:
        super().__init__(masks.masks, masks.height, masks.width)
        self.resized = resized

    def resize(self, out_shape: tuple[int, int], interpolation: str = "nearest") -> BitmapMasks:
        """Return the resized copy if it has that size; otherwise resize."""
        ready = (self.resized.height, self.resized.width)
        if ready == tuple(out_shape) and interpolation == "nearest":
            return self.resized
        return super().resize(out_shape, interpolation)

    def __getitem__(self, index: Any) -> ResizedMasks:
        """Select masks, and their resized copies."""
        return ResizedMasks(super().__getitem__(index), self.resized[index])

    def __reduce__(self) -> tuple[Callable[..., ResizedMasks], tuple[_Crops, _Crops]]:
        """Pickle crops: a worker sends a tenth of the bytes, or less."""
        return _from_crops, (_cropped(self.masks), _cropped(self.resized.masks))


class _Crops(NamedTuple):
    """Masks cropped to their content: the shape, top left corners, and the crops."""

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
