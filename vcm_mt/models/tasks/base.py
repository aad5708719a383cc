"""The interface of a task: a frozen network, or a viewer, behind a receiver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.errors import ConfigError


class Task(nn.Module, ABC):
    """A frozen network Psi that computes a loss and predictions on decoded pictures.

    Its parameters take no gradient and its batch norms do not update, but the gradient passes
    through to its input. It stays in eval mode whatever the system around it does.

    Args:
        weight: Factor of this task's loss in equation (1), above 0.
        receiver: Name of the receiver whose pictures are the task's input.

    Attributes:
        frames: How many frames of a video a clip for its training has; 1 for a task on pictures.
            It tells readers of configs; the task itself refuses clips that are too short.
        of_videos: Whether predictions need the frames of videos in order, each once, with nothing
            in between.

    Raises:
        ConfigError: If the weight is not above 0.
    """

    frames: int = 1
    of_videos: bool = False

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
        """Turn off the gradients of all parameters, and set eval mode."""
        self.requires_grad_(False)
        self.eval()

    @abstractmethod
    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The task's own training loss.

        Args:
            x_hat: Decoded pictures, float [B, 3, H, W], RGB in [0, 1], padded.
            x: The originals, float [B, 3, H, W]; ``None`` when training from bitstreams.
            data_samples: mmdet data samples at native resolution, with ground truth.

        Returns:
            Scalars by name; their sum is the loss L_task of equation (1).
        """

    def settle_precision(self, known: str | None = None) -> str | None:  # noqa: ARG002
        """Resolve ``amp="auto"``.

        Args:
            known: An earlier result, which takes precedence.

        Returns:
            ``"bf16"``, ``"fp16"`` or ``"fp32"``; ``None`` for a task without that choice.
        """
        return None

    def own_truth(self, x: Tensor, data_sample: Any, score: float) -> Any:  # noqa: ARG002
        """A data sample for :meth:`loss` whose ground truth is the task's prediction.

        Args:
            x: The original, float [1, 3, H, W] in [0, 1].
            data_sample: The picture's data sample; it is not changed.
            score: Lowest score of predictions that count, in [0, 1].
        """
        return data_sample

    def features(self, x: Tensor) -> list[Tensor]:
        """What the network makes of pictures before it decides, for a distance between pictures.

        Args:
            x: Pictures of one size, float [B, 3, H, W], RGB in [0, 1].

        Returns:
            Feature maps, each [B, C, h, w].

        Raises:
            ConfigError: If the task has none.
        """
        raise ConfigError(
            f"{type(self).__name__} has no feature maps: refine with "
            'refiner = dict(objective="loss") in the config'
        )

    def foreground(self, x: Tensor, score: float) -> Tensor:  # noqa: ARG002
        """Where the network finds something, for :func:`feature_distance`.

        Args:
            x: An original, float [1, 3, H, W] in [0, 1].
            score: Lowest score of predictions that count, in [0, 1].

        Returns:
            [1, 1, H', W'] in the network's input, 1 on what it finds and 0 elsewhere; by default 1
            everywhere.
        """
        return x.new_ones(1, 1, 1, 1)

    @abstractmethod
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> Sequence[Any] | None:
        """Predictions per picture, in native coordinates; ``None`` for a viewer.

        They are mmengine's ``InstanceData`` or ``PixelData``. A task that looks at several
        frames of a video has ``None`` until it has seen those that it needs.

        Args:
            x_hat: Decoded pictures, float [B, 3, H, W], RGB in [0, 1].
            data_samples: mmdet data samples with ``img_shape``.
        """


def named_tasks(tasks: nn.ModuleDict) -> list[tuple[str, Task]]:
    """The tasks of a system and their names."""
    return [(name, cast(Task, task)) for name, task in tasks.items()]
