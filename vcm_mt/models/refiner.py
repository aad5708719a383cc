"""Latents refined where a picture is sent: more for the same bits, for receivers as they are."""

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


class _Wanted(NamedTuple):
    """What a task finds in an original, as a data sample, and its losses by part there."""

    truth: Any
    floor: dict[str, Tensor]


#: What tasks found in originals, by a digest of the picture and by task.
Known = dict[bytes, dict[str, _Wanted]]


class Refiner:
    """Finds latents that serve equation (1) better, for one picture, than ``g_a``'s.

    ``g_a`` was trained to do well by all pictures. A transmitter that has the time can go on from
    there for the picture at hand (Campos et al. 2019; for machines Le et al. 2021): gradient
    descent on y alone, on

        (1 - lambda) * R(y)  +  lambda * sum_t w_t * max(0, L_t(Psi_t(g_s(y))) - L_t(Psi_t(x)))

    with what Psi_t finds in the original as the truth of L_t, and for g_s the receiver that the
    task looks through: it needs the frozen tasks, but no annotations. Each part of L_t counts for
    as much as it exceeds its value for the original. A network that is unsure of the original is
    to be as unsure of the decoded picture: made surer of its own errors, it would rank them above
    what is there. Nothing else changes: no weight, no table, no byte of the format. Any receiver
    of the transmitter decodes the result, and none can tell.

    R is what rounded symbols cost, with the gradient of ``quantizer="round"``: rounded forwards,
    straight through backwards. With g the gradient and k = 0, 1, ... a step is

        y <- y - rate * decay^k * g / (|g| + rms(g))

    Where the slope is steep a value moves as far as the step allows, and elsewhere in proportion:
    what hardly matters stays where ``g_a`` put it and crosses no rounding edge for nothing. The
    best y seen is kept, so that a picture is never worse by this measure than without.

    Args:
        system: Transmitter, receivers that the tasks look through, tasks, lambda. It is frozen,
            and its receivers are for searching alone.
        steps: Steps per picture; each runs ``g_s`` and the tasks forwards and backwards.
        rate: How far the first step moves a value of y at most, in quantisation steps.
        decay: How far the next one does, relative to it, in (0, 1]: few steps or many, the first
            ones are the same.
        score: From which score on a find counts as truth.
        amp: What ``g_s`` runs in, see :func:`vcm_mt.models.precision.amp_dtype`.
        known: Kept there, if given: what the tasks found in the originals, for refiners of other
            levels with the same tasks. With a detector's feature maps, megabytes a picture.

    Raises:
        ConfigError: For fewer than 1 step.
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
            raise ConfigError(f"a latent is refined in 1 step or more, not {steps}")
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
        """The tasks in words, and whose receivers they look through if not the shared one."""
        told = []
        for name, task in named_tasks(self.system.tasks):
            own = "its own" if task.receiver == name else f"the {task.receiver}"
            behind = f" behind {own} receiver" if task.receiver != "shared" else ""
            told.append(name + behind)
        return ", ".join(told)

    @property
    def record(self) -> dict[str, Any]:
        """What decides its latents beside the transmitter, as plain values."""
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
            quality: One of the transmitter's levels.
        """
        transmitter = self.system.transmitter
        level = transmitter.quality if quality is None else quality
        with torch.no_grad():
            start = transmitter.analyse(picture)
        wanted = self._wanted(picture) if self.known is None else self._remembered(picture)
        y = start.clone().requires_grad_()
        best, lowest = start, float("inf")
        with torch.enable_grad():
            for step in range(self.steps + 1):
                loss = self._loss(y, picture, wanted, level)
                if loss.item() < lowest:
                    best, lowest = y.detach().clone(), loss.item()
                if step == self.steps:
                    break
                (slope,) = torch.autograd.grad(loss, y)
                with torch.no_grad():
                    y -= self.rate * self.decay**step * _saturated(slope)
        return best

    def _remembered(self, picture: Tensor) -> dict[str, _Wanted]:
        """What each task finds in the original, found once."""
        assert self.known is not None
        values = picture.cpu().numpy()
        key = hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).digest()
        if key not in self.known:
            self.known[key] = self._wanted(picture)
        return self.known[key]

    @torch.no_grad()
    def _wanted(self, picture: Tensor) -> dict[str, _Wanted]:
        """What each task finds in the original, by name."""
        size = tuple(picture.shape[-2:])
        wanted = {}
        for name, task in named_tasks(self.system.tasks):
            plain = BaseDataElement(metainfo={"img_shape": size, "ori_shape": size})
            truth = task.own_truth(picture, plain, self.score)
            wanted[name] = _Wanted(truth, task.loss(picture, picture, [truth]))
        return wanted

    def _loss(self, y: Tensor, picture: Tensor, wanted: dict[str, _Wanted], level: int) -> Tensor:
        """Equation (1) of one picture, with the tasks' losses above those of the original."""
        system = self.system
        lmbdas: Sequence[float] = system.lmbdas
        lmbda = lmbdas[0] if len(lmbdas) == 1 else lmbdas[level - 1]
        height, width = picture.shape[-2:]
        latent = system.transmitter.rounded(y, level)
        decoded = {}
        for name, receiver in named_receivers(system.receivers):
            decoded[name] = receiver(latent.y_hat)[..., :height, :width]
        loss = (1 - lmbda) * latent.bits.sum() / (height * width)
        for name, task in named_tasks(system.tasks):
            truth, floor = wanted[name]
            parts = task.loss(decoded[task.receiver], picture, [truth])
            excess = [(value - floor[part]).clamp_min(0) for part, value in parts.items()]
            loss = loss + lmbda * task.weight * torch.stack(excess).sum()
        return loss


def _saturated(slope: Tensor) -> Tensor:
    """From -1 to 1: the sign where a slope is far above their root mean square, else less."""
    tiny = torch.finfo(slope.dtype).tiny
    return slope / (slope.abs() + slope.square().mean().sqrt().clamp_min(tiny))


def _settings(task: Task) -> dict[str, Any]:
    """The plain values that a task was made with."""
    plain = (bool, int, float, str)
    return {k: v for k, v in vars(task).items() if isinstance(v, plain) and k[0] != "_"}
