"""Feature maps of originals, kept where a training meets the same pictures again and again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


class _Kept(NamedTuple):
    """One map of one picture where it counts: which of its cells [h, w], and their values."""

    cells: Tensor
    values: Tensor  # [C, cells]


class FeatureCache:
    """Remembers what a frozen network makes of originals, as far as there is room.

    Where the surroundings of objects do not count (``feature_background=0``) they are not kept.

    Args:
        room: How many bytes of values are kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._kept: dict[Hashable, list[_Kept]] = {}

    def recall(self, pictures: Sequence[Hashable]) -> list[Tensor] | None:
        """The maps of a batch, each [B, C, h, w], 0 where they do not count.

        ``None`` when a picture is not known.
        """
        if not all(picture in self._kept for picture in pictures):
            return None
        found = []
        for parts in zip(*(self._kept[picture] for picture in pictures), strict=True):
            (cells, values), *_ = parts
            maps = values.new_zeros(len(parts), len(values), *cells.shape)
            for own, part in zip(maps, parts, strict=True):
                own[:, part.cells] = part.values
            found.append(maps)
        return found

    def keep(
        self, pictures: Sequence[Hashable], maps: Sequence[Tensor], counts: Tensor | None
    ) -> None:
        """Remember a batch's maps.

        Args:
            pictures: What each is known by; also for its place in a batch, if that matters.
            maps: Each [B, C, h, w].
            counts: [B, 1, H, W], not 0 where maps count; ``None`` where they do everywhere.
        """
        for index, picture in enumerate(pictures):
            own = [_where(m[index], None if counts is None else counts[index]) for m in maps]
            needed = sum(part.values.nbytes + part.cells.nbytes for part in own)
            if picture not in self._kept and needed <= self.room:
                self.room -= needed
                self._kept[picture] = own


def _where(own: Tensor, counts: Tensor | None) -> _Kept:
    size = own.shape[-2:]
    if counts is None:
        cells = torch.ones(size, dtype=torch.bool, device=own.device)
    else:
        cells = F.adaptive_max_pool2d(counts, size)[0] > 0
    return _Kept(cells, own[:, cells])
