"""The human viewer as a task: the closer to the original, the better."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vcm_mt.models.tasks.base import Task
from vcm_mt.registry import MODELS


@MODELS.register_module()
class HumanTask(Task):
    """Distortion 255^2 * MSE, as in CompressAI's training.

    With it equation (1) is the usual rate-distortion loss R + lambda' * 255^2 * MSE with
    lambda' = lambda / (1 - lambda), up to a constant factor.
    """

    def loss(self, x_hat: Tensor, x: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """Mean over the pictures of each one's MSE on its true area, in 8-bit units."""
        errors = []
        for decoded, original, sample in zip(x_hat, x, data_samples, strict=True):
            height, width = sample.img_shape[:2]
            difference = decoded[:, :height, :width] - original[:, :height, :width]
            errors.append(difference.float().square().mean())
        return {"mse": 255**2 * torch.stack(errors).mean()}

    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> None:  # noqa: ARG002
        """A viewer reports nothing; fidelity is measured for every receiver anyway."""
        return None
