"""Handling of steps whose loss or gradients are not finite."""

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
    """Skips steps with a gradient that is not finite; weights and optimiser state do not change.

    Gradients are checked right before the step, after distributed processes have averaged them, so
    that all processes skip together. A loss that is not finite makes the gradients of its process
    NaN, and with them the average. A norm that overflows counts as not finite too: clipping by it
    would set all gradients to 0, and the training would not learn. With gradient accumulation one
    bad batch skips the whole accumulated step.

    Attributes:
        skipped: Number of steps skipped since the last good one.
    """

    skipped = 0

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Compute the gradients; they are NaN if the loss is not finite."""
        factor = torch.where(loss.detach().isfinite(), 1.0, math.nan)
        super().backward(loss * factor, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Take the step if all gradients are finite, otherwise skip it."""
        if self._finite():
            super().step(**kwargs)
            self.skipped = 0
        else:
            self._skip(**kwargs)

    def _skip(self, **kwargs: Any) -> None:  # noqa: ARG002
        self.skipped += 1

    def _finite(self) -> bool:
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        norms = torch._foreach_norm([gradient for gradient in gradients if gradient is not None])
        return not norms or bool(torch.stack(norms).norm().isfinite())


@OPTIM_WRAPPERS.register_module()
class FiniteAmpOptimWrapper(FiniteOptimWrapper, AmpOptimWrapper):
    """:class:`FiniteOptimWrapper` with a loss scaler, which skips and lowers its scale itself.

    Skipped steps count only once the scale is 1: a larger scale may be what makes them overflow.
    """

    def _skip(self, **kwargs: Any) -> None:
        self.skipped += self.loss_scaler.get_scale() <= 1
        AmpOptimWrapper.step(self, **kwargs)


@HOOKS.register_module()
class FiniteStepsHook(Hook):
    """Logs each skipped step, and ends a training that skips too many in a row.

    For trainings with :class:`FiniteOptimWrapper`.

    Args:
        max_skipped: Number of skipped steps in a row that ends the training.
    """

    def __init__(self, max_skipped: int = 10) -> None:
        self.max_skipped = max_skipped
        self._skipped = 0
        self._suspect: tuple[float, list[str]] | None = None

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Check whether the step was skipped.

        Raises:
            TrainingError: After ``max_skipped`` skipped steps, with the pictures of the last one.
        """
        batch = (
            float(outputs["loss"].detach()),
            [_name(sample) for sample in data_batch["data_samples"]],
        )
        if not math.isfinite(batch[0]):
            self._suspect = batch  # with accumulation, the step comes some batches later
        before, self._skipped = self._skipped, max(_skipped(runner.optim_wrapper), default=0)
        if self._skipped <= before:
            return
        reason = _reason(all_gather_object(self._suspect or batch))
        self._suspect = None
        runner.logger.warning(f"iteration {batch_idx + 1}: step skipped, {reason}")
        if self._skipped >= self.max_skipped:
            raise TrainingError(
                f"{self._skipped} steps in a row were skipped, the last at iteration "
                f"{batch_idx + 1}: {reason}. Check these pictures, or lower the learning rate or "
                f"the gradients' max_norm. {way_on(Path(runner.work_dir))}"
            )


def _skipped(optim_wrapper: OptimWrapper | OptimWrapperDict) -> Iterator[int]:
    several = isinstance(optim_wrapper, OptimWrapperDict)
    for wrapper in optim_wrapper.values() if several else [optim_wrapper]:
        if isinstance(wrapper, FiniteOptimWrapper):
            yield wrapper.skipped


def _name(sample: Any) -> str:
    return str(sample.get("img_path", "without a name"))


def _reason(batches: list[tuple[float, list[str]]]) -> str:
    """Loss and pictures of the processes whose loss is not finite, or of all if each one is."""
    bad = [batch for batch in batches if not math.isfinite(batch[0])]
    return "; ".join(
        f"{'loss' if bad else 'gradients not finite, loss'} {loss} on {', '.join(names)}"
        for loss, names in bad or batches
    )
