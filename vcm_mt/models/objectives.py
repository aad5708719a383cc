"""What the refinement of a latent minimises: a weighted sum of the rate and a term per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import Task, named_tasks
from vcm_mt.models.tasks.features import feature_distance
from vcm_mt.models.vcm_system import VCMSystem

#: The lowest score of a find that makes its place foreground: also what a network finds only just.
FOUND = 0.1
#: By task, what its term compares a decoded picture with.
Targets = Mapping[str, Any]


class Objective(ABC):
    """What a :class:`vcm_mt.models.refiner.Refiner` minimises for one picture.

    Args:
        system: The frozen transmitter, receivers and tasks.
    """

    def __init__(self, system: VCMSystem) -> None:
        self.system = system

    @torch.no_grad()
    def targets(self, picture: Tensor) -> dict[str, Any]:
        """What the terms compare with, by task, found in the original [1, 3, H, W]."""
        return {name: self._target(task, picture) for name, task in named_tasks(self.system.tasks)}

    def terms(self, decoded: Mapping[str, Tensor], picture: Tensor, targets: Targets) -> Tensor:
        """One term per task, float [T].

        Args:
            decoded: The decoded picture [1, 3, H, W] of each receiver.
            picture: The original, float [1, 3, H, W].
            targets: Those of the original.
        """
        tasks = named_tasks(self.system.tasks)
        terms = [self._term(t, decoded[t.receiver], picture, targets[n]) for n, t in tasks]
        return torch.stack(terms)

    @property
    @abstractmethod
    def record(self) -> dict[str, Any]:
        """The settings as plain values."""

    def _weights(self, like: Tensor) -> Tensor:
        return like.new_tensor([task.weight for _, task in named_tasks(self.system.tasks)])

    @abstractmethod
    def weights(self, rate: Tensor, terms: Tensor, quality: int) -> tuple[Tensor | float, Tensor]:
        """The factors of the rate and, [T], of the terms.

        Args:
            rate: Bits per pixel of the latent that the refinement starts from.
            terms: The terms there.
            quality: The quality that is coded.
        """

    @abstractmethod
    def _target(self, task: Task, picture: Tensor) -> Any: ...

    @abstractmethod
    def _term(self, task: Task, decoded: Tensor, picture: Tensor, target: Any) -> Tensor: ...


class FeatureObjective(Objective):
    """Rate and distance of feature maps, each relative to the start (the default).

    With y_0 the latent of ``g_a``, D_t the distance of task t's feature maps from the original's
    (:func:`vcm_mt.models.tasks.features.feature_distance`), and w_t the tasks' weights, it is

        rate_weight * R(y) / R(y_0)  +  sum_t w_t * D_t(y) / D_t(y_0)  /  sum_t w_t

    The maps tell of everything in the picture, also of what the network finds only just or not at
    all: a threshold would make background of it. As both parts are ratios, ``rate_weight`` means
    the same at every rate and for every network. Cells without a find count ``background`` times;
    its score is :data:`FOUND` or more.
    """

    def __init__(self, system: VCMSystem, rate_weight: float, background: float = 1.0) -> None:
        super().__init__(system)
        if rate_weight < 0:
            raise ConfigError(f"rate_weight must be 0 or more, not {rate_weight}")
        if not 0 <= background <= 1:
            raise ConfigError(f"background must lie in [0, 1], not {background}")
        self.rate_weight, self.background = rate_weight, background

    @property
    def record(self) -> dict[str, Any]:
        """See :attr:`Objective.record`."""
        return {
            "objective": "features",
            "rate_weight": self.rate_weight,
            "background": self.background,
        }

    def weights(self, rate: Tensor, terms: Tensor, quality: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """See :meth:`Objective.weights`."""
        weights = self._weights(terms)
        tiny = torch.finfo(terms.dtype).tiny
        return (
            self.rate_weight / rate.clamp_min(tiny),
            weights / weights.sum() / terms.clamp_min(tiny),
        )

    def _target(self, task: Task, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        everywhere = torch.ones_like(picture[:, :1])
        found = everywhere if self.background == 1 else task.foreground(picture, FOUND)
        return task.features(picture), found

    def _term(
        self,
        task: Task,
        decoded: Tensor,
        picture: Tensor,  # noqa: ARG002
        target: tuple[list[Tensor], Tensor],
    ) -> Tensor:
        maps, found = target
        return feature_distance(task.features(decoded), maps, found, self.background)


class _Truth(NamedTuple):
    """A task's predictions on an original as a data sample, and its losses by part there."""

    sample: Any
    floor: dict[str, Tensor]


class LossObjective(Objective):
    """Equation (1), with the tasks' own losses.

        (1 - lambda) * R(y)  +  lambda * sum_t w_t * max(0, L_t(Psi_t(g_s(y))) - L_t(Psi_t(x)))

    The ground truth of L_t is the prediction of Psi_t on the original. Each part of L_t counts only
    as far as it exceeds its value on the original: lowering it further would make the network
    confident of its own errors.
    """

    def __init__(self, system: VCMSystem, score: float) -> None:
        super().__init__(system)
        self.score = score

    @property
    def record(self) -> dict[str, Any]:
        """See :attr:`Objective.record`."""
        return {"score": self.score, "excess": True, "lmbda": self.system.lmbdas}

    def weights(self, rate: Tensor, terms: Tensor, quality: int) -> tuple[float, Tensor]:  # noqa: ARG002
        """See :meth:`Objective.weights`."""
        lmbdas = self.system.lmbdas
        lmbda = lmbdas[0] if len(lmbdas) == 1 else lmbdas[quality - 1]
        return 1 - lmbda, lmbda * self._weights(terms)

    def _target(self, task: Task, picture: Tensor) -> _Truth:
        size = tuple(picture.shape[-2:])
        plain = BaseDataElement(metainfo={"img_shape": size, "ori_shape": size})
        sample = task.own_truth(picture, plain, self.score)
        return _Truth(sample, task.loss(picture, picture, [sample]))

    def _term(self, task: Task, decoded: Tensor, picture: Tensor, target: _Truth) -> Tensor:
        parts = task.loss(decoded, picture, [target.sample])
        excess = [(value - target.floor[part]).clamp_min(0) for part, value in parts.items()]
        return torch.stack(excess).sum()
