"""A cache of the originals' feature maps, for trainings that see each picture many times."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


class _SparseMap(NamedTuple):
    """One feature map of one picture.

    Attributes:
        cells: bool [h, w], the cells that are stored.
        values: [C, number of cells].
    """

    cells: Tensor
    values: Tensor


class FeatureCache:
    """Stores feature maps until it is full; nothing is evicted.

    With ``feature_background=0`` only cells that touch an object are stored.

    Args:
        size: Capacity in bytes.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._maps: dict[Hashable, list[_SparseMap]] = {}

    def recall(self, keys: Sequence[Hashable]) -> list[Tensor] | None:
        """The maps of a batch, each [B, C, h, w], 0 in cells that were not stored.

        Returns:
            ``None`` if a picture of the batch is not in the cache.
        """
        if not all(key in self._maps for key in keys):
            return None
        batch = []
        for parts in zip(*(self._maps[key] for key in keys), strict=True):
            (cells, values), *_ = parts
            maps = values.new_zeros(len(parts), len(values), *cells.shape)
            for dense, part in zip(maps, parts, strict=True):
                dense[:, part.cells] = part.values
            batch.append(maps)
        return batch

    def keep(
        self, keys: Sequence[Hashable], maps: Sequence[Tensor], foreground: Tensor | None
    ) -> None:
        """Store the maps of a batch, as far as there is space.

        Args:
            keys: One key per picture; it must differ wherever the maps do.
            maps: Each [B, C, h, w].
            foreground: [B, 1, H, W]; cells that touch no value above 0 are not stored. ``None``
                stores all cells.
        """
        for index, key in enumerate(keys):
            inside = None if foreground is None else foreground[index]
            own = [_sparse(map_[index], inside) for map_ in maps]
            needed = sum(part.values.nbytes + part.cells.nbytes for part in own)
            if key not in self._maps and needed <= self.free:
                self.free -= needed
                self._maps[key] = own


def _sparse(own: Tensor, foreground: Tensor | None) -> _SparseMap:
    size = own.shape[-2:]
    if foreground is None:
        cells = torch.ones(size, dtype=torch.bool, device=own.device)
    else:
        cells = F.adaptive_max_pool2d(foreground, size)[0] > 0
    return _SparseMap(cells, own[:, cells])
