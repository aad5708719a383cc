"""Refinement of a picture's latent by gradient descent in the transmitter."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import ConfigError
from vcm_mt.models.objectives import FeatureObjective, LossObjective, Objective, Targets
from vcm_mt.models.precision import amp_name
from vcm_mt.models.receivers import named_receivers
from vcm_mt.models.tasks import Task, named_tasks
from vcm_mt.models.vcm_system import VCMSystem

#: Targets by a digest of the picture.
Known = dict[bytes, Targets]
#: The default rate of each objective.
_RATES = {"features": 0.3, "loss": 0.08}


class Refiner:
    """Improves the latent of one picture.

    ``g_a`` is trained for all pictures. Starting from its latent, gradient descent on y alone
    (Campos et al. 2019; for machines Le et al. 2021) lowers the rate and what the frozen tasks lose
    by the coding, as an objective weighs them (:mod:`vcm_mt.models.objectives`). Tasks see the
    picture of their receiver. Annotations are not needed. Weights, tables and format do not change,
    and any receiver of the transmitter decodes the result.

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
        rate: Largest change of a value of y in the first step, in quantisation steps; by default
            0.3 for ``"features"`` and 0.08 for ``"loss"``, which overshoots sooner.
        decay: Factor of that change from one step to the next, in (0, 1].
        objective: ``"features"``, the distance of the tasks' feature maps from the original's, or
            ``"loss"``, equation (1) with the tasks' own losses.
        rate_weight: What a change of the rate by its whole weighs beside a change of the
            features' distance by its whole, 0 or more.
        background: With ``"features"``, the weight in [0, 1] of all cells of the maps where the
            network finds nothing.
        score: With ``"loss"``, the lowest score in [0, 1] with which a prediction counts as ground
            truth.
        amp: Precision of ``g_s``, see :func:`vcm_mt.models.precision.amp_dtype`.
        known: A cache of what the tasks find in originals, shared by refiners of other qualities
            with the same tasks and objective. With feature maps it takes megabytes per picture.

    Raises:
        ConfigError: If there is less than 1 step, or another objective.
    """

    def __init__(
        self,
        system: VCMSystem,
        steps: int = 8,
        rate: float | None = None,
        decay: float = 0.7,
        objective: str = "features",
        rate_weight: float = 2.0,
        background: float = 0.2,
        score: float = 0.5,
        amp: bool | str = "auto",
        known: Known | None = None,
    ) -> None:
        if steps < 1:
            raise ConfigError(f"refinement takes 1 step or more, not {steps}")
        if objective not in ("features", "loss"):
            raise ConfigError(f'objective must be "features" or "loss", not {objective!r}')
        self.system = system.eval().requires_grad_(False)
        amp = amp_name(amp, next(system.parameters()).device)
        for _, receiver in named_receivers(system.receivers):
            receiver.amp = amp
        for _, task in named_tasks(system.tasks):
            task.settle_precision()
        self.objective: Objective = (
            FeatureObjective(system, rate_weight, background)
            if objective == "features"
            else LossObjective(system, score)
        )
        self.rate = _RATES[objective] if rate is None else rate
        self.steps, self.decay = steps, decay
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
        own = {name: getattr(self, name) for name in ("steps", "rate", "decay", "amp")}
        networks = {name: fingerprint(task) for name, task in self.system.tasks.items()}
        receivers = {name: fingerprint(one) for name, one in self.system.receivers.items()}
        return {
            **own,
            **self.objective.record,
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
        targets = self._targets(picture)
        y = start.clone().requires_grad_()
        best, lowest, weights = start, float("inf"), None
        with torch.enable_grad():
            for step in range(self.steps + 1):
                rate, terms = self._measured(y, picture, targets, quality)
                if weights is None:
                    weights = self.objective.weights(rate.detach(), terms.detach(), quality)
                loss = weights[0] * rate + (weights[1] * terms).sum()
                if loss.item() < lowest:
                    best, lowest = y.detach().clone(), loss.item()
                if step == self.steps:
                    break
                (gradient,) = torch.autograd.grad(loss, y)
                with torch.no_grad():
                    y -= self.rate * self.decay**step * _saturated(gradient)
        return best

    def _targets(self, picture: Tensor) -> Targets:
        if self.known is None:
            return self.objective.targets(picture)
        values = picture.cpu().numpy()
        key = hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).digest()
        if key not in self.known:
            self.known[key] = self.objective.targets(picture)
        return self.known[key]

    def _measured(
        self, y: Tensor, picture: Tensor, targets: Targets, quality: int
    ) -> tuple[Tensor, Tensor]:
        """Bits per pixel, and the objective's terms [T]."""
        system = self.system
        height, width = picture.shape[-2:]
        latent = system.transmitter.rounded(y, quality)
        decoded = {}
        for name, receiver in named_receivers(system.receivers):
            decoded[name] = receiver(latent.y_hat)[..., :height, :width]
        rate = latent.bits.sum() / (height * width)
        return rate, self.objective.terms(decoded, picture, targets)


def _saturated(gradient: Tensor) -> Tensor:
    """The update direction g / (abs(g) + rms(g)), in [-1, 1]."""
    tiny = torch.finfo(gradient.dtype).tiny
    return gradient / (gradient.abs() + gradient.square().mean().sqrt().clamp_min(tiny))


def _settings(task: Task) -> dict[str, Any]:
    """The plain attributes of a task."""
    plain = (bool, int, float, str)
    return {k: v for k, v in vars(task).items() if isinstance(v, plain) and k[0] != "_"}
