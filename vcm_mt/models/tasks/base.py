"""What stands behind a receiver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from mmengine.structures import InstanceData
from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.errors import ConfigError


class Task(nn.Module, ABC):
    """A frozen network Psi that judges decoded pictures.

    Frozen means parameters, batch-norm statistics and mode: whatever the surrounding system
    does, a task stays in eval mode and takes no gradient, but passes it on to its input.

    Args:
        weight: Factor of this task's loss where a system has several.
        receiver: Name of the receiver whose pictures the task sees.
    """

    def __init__(self, weight: float = 1.0, receiver: str = "shared") -> None:
        super().__init__()
        if not weight > 0:
            raise ConfigError(f"a task's weight must be above 0, not {weight}")
        self.weight = float(weight)
        self.receiver = receiver

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)

    def freeze(self) -> None:
        """Turn off gradients of all parameters and go to eval mode for good."""
        self.requires_grad_(False)
        self.eval()

    @abstractmethod
    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The task's own training loss.

        Args:
            x_hat: Decoded pictures, float [B, 3, H, W], RGB in [0, 1], padded.
            x: The originals, alike; ``None`` where only bitstreams are at hand.
            data_samples: mmdet data samples at native resolution, with ground truth.

        Returns:
            Scalars by name; their sum is the loss L_task of equation (1).
        """

    def settle_precision(self, known: str | None = None) -> str | None:  # noqa: ARG002
        """Decide what ``amp="auto"`` stands for; ``None`` for a task without a choice.

        Args:
            known: What was decided before: ``"bf16"``, ``"fp16"`` or ``"fp32"``.
        """
        return None

    def own_truth(self, x: Tensor, data_sample: Any, score: float) -> Any:  # noqa: ARG002
        """A data sample for :meth:`loss`, with what the task finds in an original as its truth.

        Args:
            x: The original, float [1, 3, H, W] in [0, 1].
            data_sample: Of that picture; it is left as it is.
            score: From which score on a find counts, in [0, 1].
        """
        return data_sample

    @abstractmethod
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData] | None:
        """What the task finds, per picture, in native coordinates; ``None`` for a viewer."""


def named_tasks(tasks: nn.ModuleDict) -> list[tuple[str, Task]]:
    """The tasks of a system with their names."""
    return [(name, cast(Task, task)) for name, task in tasks.items()]
