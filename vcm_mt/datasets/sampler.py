"""Samplers whose indexes carry a seed for the picture's random transforms."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler as _AspectRatioBatchSampler
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from vcm_mt.registry import DATA_SAMPLERS


class Draw(int):
    """The index of a picture, with the words that seed its transforms."""

    words: tuple[int, ...]


@DATA_SAMPLERS.register_module()
class SeededSampler(InfiniteSampler):
    """mmengine's infinite sampler, with indexes of the type :class:`Draw`.

    The generators of a loader's workers start anew with every run. Because each draw seeds its own
    transforms, flips and crops of a resumed run equal those of an uninterrupted one.
    """

    def _indices_of_rank(self) -> Iterator[int]:
        for number, index in enumerate(super()._indices_of_rank()):
            draw = Draw(index)
            draw.words = (self.seed, number, self.rank)
            yield draw


@DATA_SAMPLERS.register_module()
class AspectRatioBatchSampler(_AspectRatioBatchSampler):
    """mmdet's batch sampler, which separates portrait and landscape pictures, with ``skip``.

    How many draws a batch takes depends on the pictures' shapes. Skipping reads the shapes from
    the annotations and loads no picture.
    """

    _skipped = 0

    def skip(self, batches: int) -> None:
        """Skip this many batches; call it before the first is drawn."""
        self._skipped = batches

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over batches of indexes."""
        return islice(super().__iter__(), self._skipped, None)


@DATA_SAMPLERS.register_module()
class VideoSampler(Sampler[int]):
    """Frames in order, for a data set whose records have ``video_id``.

    Several processes share out whole videos: what predicts frames or follows objects needs the
    frames before.

    Args:
        dataset: With the frames of each video one after another.
        seed: Not used; mmengine's Runner gives one to every sampler.
    """

    def __init__(self, dataset: Any, seed: int | None = None) -> None:  # noqa: ARG002
        of = [dataset.get_data_info(number)["video_id"] for number in range(len(dataset))]
        videos = [list(numbers) for _, numbers in groupby(range(len(of)), key=of.__getitem__)]
        rank, world_size = get_dist_info()
        self._own = [number for video in videos[rank::world_size] for number in video]

    def __iter__(self) -> Iterator[int]:
        """The numbers of this process's frames."""
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


class SeededTransforms:
    """Mixin for data sets that seeds the pipeline by the :class:`Draw`."""

    def prepare_data(self, idx: int) -> Any:
        """Seed random, NumPy and PyTorch's CPU generator, and run the pipeline."""
        if isinstance(idx, Draw):
            seed = int(np.random.SeedSequence(idx.words).generate_state(1)[0])
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  mmdet uses it
            torch.default_generator.manual_seed(seed)
        return super().prepare_data(idx)  # type: ignore[misc]
