"""A training's batches, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from vcm_mt.registry import LOOPS


@LOOPS.register_module()
class SkippingTrainLoop(IterBasedTrainLoop):
    """mmengine's loop, in which a resumed run draws its past batches again but does not load them.

    mmengine's own can do so where each batch takes the same number of draws. This one asks the
    batch sampler, where it has a ``skip``: such a one must never end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(self.dataloader.batch_sampler, "skip"):
            self.dataloader_iterator = _Batches(self.dataloader)


class _Batches:
    """The batches of a loader that never ends; nothing is loaded before the first is asked for."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._iterator: Iterator[Any] | None = None

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._loader)
        return next(self._iterator)

    def skip_iter(self, count: int) -> None:
        """Leave out the first ``count`` batches."""
        self._loader.batch_sampler.skip(count)  # type: ignore[union-attr]
