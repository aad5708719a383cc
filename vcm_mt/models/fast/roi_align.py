"""RoIAlign (He et al. 2017) on a CPU, multi-threaded and vectorised.

The values are those of mmcv, whose CPU kernel handles one channel after another on one thread.
Here maps are channels_last, and each bilinear sample adds a whole row of channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.ops import RoIAlign
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from vcm_mt.numerics.threads import in_threads

Floats = NDArray[np.float32]


class FastRoIAlign(RoIAlign):
    """Average pooling by RoIAlign on a CPU.

    Args:
        layer: The layer of mmcv that this one replaces.
    """

    def __init__(self, layer: RoIAlign) -> None:
        super().__init__(
            layer.output_size, layer.spatial_scale, layer.sampling_ratio, "avg", layer.aligned
        )

    @staticmethod
    def replaces(layer: Any) -> bool:
        """Whether this class computes the same as ``layer``."""
        return type(layer) is RoIAlign and layer.pool_mode == "avg"

    def forward(self, maps: Tensor, rois: Tensor) -> Tensor:
        """Pool float32 maps [B, C, H, W] in boxes [n, 5] (picture, x1, y1, x2, y2 in pixels)."""
        geometry = (*self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)
        return _Pool.apply(maps, rois, geometry)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, rois: Tensor, geometry: tuple[Any, ...]) -> Tensor:
        ctx.rois, ctx.geometry, ctx.shape = _array(rois), geometry, maps.shape
        pooled = np.zeros((len(rois), *geometry[:2], maps.shape[1]), np.float32)
        # Each thread pools some of the boxes.
        in_threads(_pool, len(rois), _array(maps.permute(0, 2, 3, 1)), ctx.rois, geometry, pooled)
        return torch.from_numpy(pooled).permute(0, 3, 1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        batch, channels, height, width = ctx.shape
        maps = np.zeros((batch, height, width, channels), np.float32)
        # Each thread takes some of the channels: boxes overlap, and two threads must not add to
        # the same value.
        given = _array(gradient.permute(0, 2, 3, 1))
        in_threads(_spread, channels, given, ctx.rois, ctx.geometry, maps)
        return torch.from_numpy(maps).permute(0, 3, 1, 2), None, None


def _array(x: Tensor) -> Floats:
    return x.detach().contiguous().float().numpy()


@njit(cache=True, nogil=True, boundscheck=False)
def _axis(start: float, length: float, bins: int, ratio: int, size: int) -> Any:
    """Weights [bins, size] of the cells along one axis of a box, and the range that is not 0.

    Bilinear samples and their mean are separable: a bin is the sum over cells of the product of
    the weights of both axes.
    """
    weights = np.zeros((bins, size), np.float32)
    reach = np.zeros((bins, 2), np.int64)
    samples = max(ratio if ratio > 0 else int(np.ceil(length / bins)), 0)
    step = np.float32(length / bins)
    for i in range(bins):
        for j in range(samples):
            place = start + i * step + np.float32(j + 0.5) * step / samples
            if not -1.0 <= place <= size:
                continue
            place = max(place, np.float32(0.0))
            low = min(int(place), size - 1)
            high = min(low + 1, size - 1)
            upper = (place - low) / samples if high > low else 0.0
            weights[i, high] += upper
            weights[i, low] += 1.0 / samples - upper
            reach[i, 0] = min(reach[i, 0], low) if reach[i, 1] else low
            reach[i, 1] = max(reach[i, 1], high + 1)
    return weights, reach


@njit(cache=True, nogil=True, boundscheck=False)
def _axes(roi: Floats, geometry: Any, height: int, width: int) -> Any:
    bins_y, bins_x, scale, ratio, aligned = geometry
    left, top, right, bottom = roi[1:] * np.float32(scale) - np.float32(0.5 if aligned else 0.0)
    least = np.float32(-np.inf if aligned else 1.0)
    along_y = _axis(top, max(bottom - top, least), bins_y, ratio, height)
    return along_y, _axis(left, max(right - left, least), bins_x, ratio, width)


@njit(cache=True, nogil=True, boundscheck=False, fastmath={"contract"})
def _pool(maps: Floats, rois: Floats, geometry: Any, pooled: Floats, first: int, last: int) -> None:
    """Maps [B, H, W, C] to pooled [n, h, w, C], for RoIs ``first`` to ``last``."""
    for n in range(first, last):
        picture = maps[int(rois[n, 0])]
        (w_y, y), (w_x, x) = _axes(rois[n], geometry, maps.shape[1], maps.shape[2])
        for p, q in np.ndindex(pooled.shape[1], pooled.shape[2]):
            out = pooled[n, p, q]
            for i in range(y[p, 0], y[p, 1]):
                for j in range(x[q, 0], x[q, 1]):
                    weight, cell = w_y[p, i] * w_x[q, j], picture[i, j]
                    if weight != 0:
                        for c in range(len(cell)):
                            out[c] += weight * cell[c]


@njit(cache=True, nogil=True, boundscheck=False, fastmath={"contract"})
def _spread(
    given: Floats, rois: Floats, geometry: Any, maps: Floats, first: int, last: int
) -> None:
    """The transpose of :func:`_pool`, for channels ``first`` to ``last``."""
    for n in range(len(given)):
        picture = maps[int(rois[n, 0])]
        (w_y, y), (w_x, x) = _axes(rois[n], geometry, maps.shape[1], maps.shape[2])
        for p, q in np.ndindex(given.shape[1], given.shape[2]):
            value = given[n, p, q]
            for i in range(y[p, 0], y[p, 1]):
                for j in range(x[q, 0], x[q, 1]):
                    weight, cell = w_y[p, i] * w_x[q, j], picture[i, j]
                    if weight != 0:
                        for c in range(first, last):
                            cell[c] += weight * value[c]
