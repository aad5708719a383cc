"""The order of training, in which each draw says how its random transforms fall out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler as _AspectRatioBatchSampler
from mmengine.dataset import InfiniteSampler

from vcm_mt.registry import DATA_SAMPLERS


class Draw(int):
    """A picture's index in its set, with the words that seed its transforms."""

    words: tuple[int, ...]


@DATA_SAMPLERS.register_module()
class SeededSampler(InfiniteSampler):
    """mmengine's sampler, whose indices are draws.

    A data loader's workers draw from generators that start anew with every run; seeded by the
    draw's number, a resumed run's flips and crops are those of an undisturbed one.
    """

    def _indices_of_rank(self) -> Iterator[int]:
        for number, index in enumerate(super()._indices_of_rank()):
            draw = Draw(index)
            draw.words = (self.seed, number, self.rank)
            yield draw


@DATA_SAMPLERS.register_module()
class AspectRatioBatchSampler(_AspectRatioBatchSampler):
    """mmdet's, upright pictures apart from others, whose first batches can be left out.

    How many draws a batch takes depends on their shapes: those are looked up, and no picture is
    loaded.
    """

    _skipped = 0

    def skip(self, batches: int) -> None:
        """Start behind so many batches; before the first is drawn."""
        self._skipped = batches

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of indices."""
        return islice(super().__iter__(), self._skipped, None)


class SeededTransforms:
    """Seeds a dataset's pipeline by the draw; goes in front of the dataset's class."""

    def prepare_data(self, idx: int) -> Any:
        """Seed random, NumPy and PyTorch's generator for CPUs, and run the pipeline."""
        if isinstance(idx, Draw):
            seed = int(np.random.SeedSequence(idx.words).generate_state(1)[0])
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  mmdet draws from it
            torch.default_generator.manual_seed(seed)  # all that a pipeline draws from
        return super().prepare_data(idx)  # type: ignore[misc]
