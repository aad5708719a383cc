"""Refinement of a picture's latent by gradient descent in the transmitter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import ConfigError
from vcm_mt.models.precision import amp_name
from vcm_mt.models.receivers import named_receivers
from vcm_mt.models.tasks import Task, named_tasks
from vcm_mt.models.vcm_system import VCMSystem


class _Target(NamedTuple):
    """A task's predictions on an original as a data sample, and its losses by part there."""

    truth: Any
    floor: dict[str, Tensor]


#: Targets by a digest of the picture and by task.
Known = dict[bytes, dict[str, _Target]]


class Refiner:
    """Improves the latent of one picture with respect to equation (1).

    ``g_a`` is trained for all pictures. Starting from its latent, gradient descent on y alone
    (Campos et al. 2019; for machines Le et al. 2021) lowers

        (1 - lambda) * R(y)  +  lambda * sum_t w_t * max(0, L_t(Psi_t(g_s(y))) - L_t(Psi_t(x)))

    The ground truth of L_t is the prediction of Psi_t on the original, and g_s is the receiver of
    the task: frozen tasks are needed, annotations are not. Each part of L_t counts only as far as
    it exceeds its value on the original: lowering it further would make the network confident of
    its own errors. Weights, tables and format do not change, and any receiver of the transmitter
    decodes the result.

    R is the rate of rounded symbols with the gradient of ``quantizer="round"``: rounded in the
    forward pass, straight-through in the backward pass. With the gradient g, step k = 0, 1, ... is

        y <- y - rate * decay^k * g / (abs(g) + rms(g))

    A value with a steep gradient moves by the full step, the others in proportion, so that values
    which matter little do not cross a rounding threshold. The best y of all steps is returned: the
    result is never worse than ``g_a``'s latent by this measure.

    Args:
        system: Transmitter, receivers of the tasks, tasks, lambda. It is frozen, and its
            receivers serve the refinement only.
        steps: Steps per picture; each runs ``g_s`` and the tasks forwards and backwards.
        rate: Largest change of a value of y in the first step, in quantisation steps.
        decay: Factor of that change from one step to the next, in (0, 1].
        score: Lowest score in [0, 1] with which a prediction counts as ground truth.
        amp: Precision of ``g_s``, see :func:`vcm_mt.models.precision.amp_dtype`.
        known: A cache of the tasks' predictions on originals, shared by refiners of other
            qualities with the same tasks. With feature maps it takes megabytes per picture.

    Raises:
        ConfigError: If there is less than 1 step.
    """

    def __init__(
        self,
        system: VCMSystem,
        steps: int = 8,
        rate: float = 0.08,
        decay: float = 0.7,
        score: float = 0.5,
        amp: bool | str = "auto",
        known: Known | None = None,
    ) -> None:
        if steps < 1:
            raise ConfigError(f"refinement takes 1 step or more, not {steps}")
        self.system = system.eval().requires_grad_(False)
        amp = amp_name(amp, next(system.parameters()).device)
        for _, receiver in named_receivers(system.receivers):
            receiver.amp = amp
        for _, task in named_tasks(system.tasks):
            task.settle_precision()
        self.steps, self.rate, self.decay, self.score = steps, rate, decay, score
        self.amp = amp
        self.known = known

    @property
    def through(self) -> str:
        """The tasks in words, with their receivers where those are not the shared one."""
        words = []
        for name, task in named_tasks(self.system.tasks):
            own = "its own" if task.receiver == name else f"the {task.receiver}"
            behind = f" behind {own} receiver" if task.receiver != "shared" else ""
            words.append(name + behind)
        return ", ".join(words)

    @property
    def record(self) -> dict[str, Any]:
        """Everything besides the transmitter that determines the latents, as plain values."""
        own = {name: getattr(self, name) for name in ("steps", "rate", "decay", "score", "amp")}
        networks = {name: fingerprint(task) for name, task in self.system.tasks.items()}
        receivers = {name: fingerprint(one) for name, one in self.system.receivers.items()}
        return {
            **own,
            "excess": True,  # over the losses of the original
            "lmbda": self.system.lmbdas,
            "networks": networks,
            "receivers": receivers,
            "tasks": {name: _settings(task) for name, task in named_tasks(self.system.tasks)},
        }

    def __call__(self, picture: Tensor, quality: int | None = None) -> Tensor:
        """The latent y, float [1, M, h, w], to be sent for a picture.

        Args:
            picture: float [1, 3, H, W], RGB in [0, 1], any size.
            quality: One of the transmitter's qualities; by default its own.
        """
        transmitter = self.system.transmitter
        quality = transmitter.quality if quality is None else quality
        with torch.no_grad():
            start = transmitter.analyse(picture)
        targets = self._targets(picture) if self.known is None else self._cached(picture)
        y = start.clone().requires_grad_()
        best, lowest = start, float("inf")
        with torch.enable_grad():
            for step in range(self.steps + 1):
                loss = self._loss(y, picture, targets, quality)
                if loss.item() < lowest:
                    best, lowest = y.detach().clone(), loss.item()
                if step == self.steps:
                    break
                (gradient,) = torch.autograd.grad(loss, y)
                with torch.no_grad():
                    y -= self.rate * self.decay**step * _saturated(gradient)
        return best

    def _cached(self, picture: Tensor) -> dict[str, _Target]:
        assert self.known is not None
        values = picture.cpu().numpy()
        key = hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).digest()
        if key not in self.known:
            self.known[key] = self._targets(picture)
        return self.known[key]

    @torch.no_grad()
    def _targets(self, picture: Tensor) -> dict[str, _Target]:
        """Each task's predictions and losses on the original, by name."""
        size = tuple(picture.shape[-2:])
        targets = {}
        for name, task in named_tasks(self.system.tasks):
            plain = BaseDataElement(metainfo={"img_shape": size, "ori_shape": size})
            truth = task.own_truth(picture, plain, self.score)
            targets[name] = _Target(truth, task.loss(picture, picture, [truth]))
        return targets

    def _loss(
        self, y: Tensor, picture: Tensor, targets: dict[str, _Target], quality: int
    ) -> Tensor:
        """Equation (1) of one picture, with the tasks' losses above those of the original."""
        system = self.system
        lmbdas: Sequence[float] = system.lmbdas
        lmbda = lmbdas[0] if len(lmbdas) == 1 else lmbdas[quality - 1]
        height, width = picture.shape[-2:]
        latent = system.transmitter.rounded(y, quality)
        decoded = {}
        for name, receiver in named_receivers(system.receivers):
            decoded[name] = receiver(latent.y_hat)[..., :height, :width]
        loss = (1 - lmbda) * latent.bits.sum() / (height * width)
        for name, task in named_tasks(system.tasks):
            truth, floor = targets[name]
            parts = task.loss(decoded[task.receiver], picture, [truth])
            excess = [(value - floor[part]).clamp_min(0) for part, value in parts.items()]
            loss = loss + lmbda * task.weight * torch.stack(excess).sum()
        return loss


def _saturated(gradient: Tensor) -> Tensor:
    """The update direction g / (abs(g) + rms(g)), in [-1, 1]."""
    tiny = torch.finfo(gradient.dtype).tiny
    return gradient / (gradient.abs() + gradient.square().mean().sqrt().clamp_min(tiny))


def _settings(task: Task) -> dict[str, Any]:
    """The plain attributes of a task."""
    plain = (bool, int, float, str)
    return {k: v for k, v in vars(task).items() if isinstance(v, plain) and k[0] != "_"}
