"""Steps whose loss or gradients are not finite: skipped, told, and not for ever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from torch import Tensor

from vcm_mt.engine.checkpoints import way_on
from vcm_mt.errors import TrainingError
from vcm_mt.registry import HOOKS, OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class FiniteOptimWrapper(OptimWrapper):
    """Skips a step that is not finite: weights and the optimiser's state stay as they are.

    The gradients are looked at right before the step, when distributed processes have averaged
    them: all see the same values and skip together. A loss that is not finite on one process
    makes its gradients so, and with them everyone's. Gradients whose norm is too large for a
    number are not finite either: clipped by it, all of them would be 0, and a training go on
    without learning anything. With gradient accumulation one bad batch spoils the step that it is
    part of.

    Attributes:
        skipped: Steps that were skipped since the last good one.
    """

    skipped = 0

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Gradients of the loss, NaN if it is not finite."""
        factor = torch.where(loss.detach().isfinite(), 1.0, math.nan)
        super().backward(loss * factor, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Step, or skip."""
        if self._finite():
            super().step(**kwargs)
            self.skipped = 0
        else:
            self._skip(**kwargs)

    def _skip(self, **kwargs: Any) -> None:  # noqa: ARG002
        self.skipped += 1

    def _finite(self) -> bool:
        given = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        norms = torch._foreach_norm([gradient for gradient in given if gradient is not None])
        return not norms or bool(torch.stack(norms).norm().isfinite())


@OPTIM_WRAPPERS.register_module()
class FiniteAmpOptimWrapper(FiniteOptimWrapper, AmpOptimWrapper):
    """The same in half precision, where the loss scaler skips by itself and lowers its scale.

    Such steps count from the scale of 1 on: with a higher one, the scale may be their reason.
    """

    def _skip(self, **kwargs: Any) -> None:
        self.skipped += self.loss_scaler.get_scale() <= 1
        AmpOptimWrapper.step(self, **kwargs)


@HOOKS.register_module()
class FiniteStepsHook(Hook):
    """Tells of each skipped step, and ends a training that skips one after another.

    For a model on :class:`FiniteOptimWrapper`.

    Args:
        max_skipped: So many skipped steps in a row end it.
    """

    def __init__(self, max_skipped: int = 10) -> None:
        self.max_skipped = max_skipped
        self._skipped = 0
        self._suspect: tuple[float, list[str]] | None = None

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at what the step just done did.

        Raises:
            TrainingError: After ``max_skipped`` steps; names the pictures of the last one.
        """
        batch = (
            float(outputs["loss"].detach()),
            [_name(sample) for sample in data_batch["data_samples"]],
        )
        if not math.isfinite(batch[0]):
            self._suspect = batch  # of a step that further batches may follow in
        before, self._skipped = self._skipped, max(_skipped(runner.optim_wrapper), default=0)
        if self._skipped <= before:
            return
        told = _told(all_gather_object(self._suspect or batch))
        self._suspect = None
        runner.logger.warning(f"iteration {batch_idx + 1}: step skipped, {told}")
        if self._skipped >= self.max_skipped:
            raise TrainingError(
                f"{self._skipped} steps in a row were skipped, the last at iteration "
                f"{batch_idx + 1}: {told}. Look at these pictures, lower the learning rate or the "
                f"gradients' max_norm. {way_on(Path(runner.work_dir))}"
            )


def _skipped(optim_wrapper: OptimWrapper | OptimWrapperDict) -> Iterator[int]:
    several = isinstance(optim_wrapper, OptimWrapperDict)
    for wrapper in optim_wrapper.values() if several else [optim_wrapper]:
        if isinstance(wrapper, FiniteOptimWrapper):
            yield wrapper.skipped


def _name(sample: Any) -> str:
    return str(sample.get("img_path", "without a name"))


def _told(batches: list[tuple[float, list[str]]]) -> str:
    """The batches, of all processes, whose loss is not finite; all of them where each one's is."""
    bad = [batch for batch in batches if not math.isfinite(batch[0])]
    return "; ".join(
        f"{'loss' if bad else 'gradients not finite, loss'} {loss} on {', '.join(names)}"
        for loss, names in bad or batches
    )
