"""A training loop that resumes without loading past batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from vcm_mt.registry import LOOPS


@LOOPS.register_module()
class SkippingTrainLoop(IterBasedTrainLoop):
    """mmengine's loop, which here resumes without loading past batches.

    mmengine can do so if each batch takes the same number of indexes. This loop calls ``skip`` of
    the batch sampler, if it has one; such a sampler must be infinite.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(self.dataloader.batch_sampler, "skip"):
            self.dataloader_iterator = _Batches(self.dataloader)


class _Batches:
    """The batches of an infinite loader; loading starts with the first request."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._iterator: Iterator[Any] | None = None

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._loader)
        return next(self._iterator)

    def skip_iter(self, count: int) -> None:
        """Skip the first ``count`` batches."""
        self._loader.batch_sampler.skip(count)  # type: ignore[union-attr]
