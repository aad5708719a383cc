"""The human viewer as a task: distortion with respect to the original."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError
from vcm_mt.models.similarity import SMALLEST, similarity
from vcm_mt.models.sizes import by_size
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.features import feature_distance
from vcm_mt.registry import MODELS

#: Ends of VGG-16's five stages, in front of their pooling.
_STAGES = (3, 8, 15, 22, 29)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@MODELS.register_module()
class HumanTask(Task):
    """Distortion for human viewers.

    The loss is ``mse * 255^2 * MSE + ms_ssim * (1 - MS-SSIM) + perceptual * D_VGG``. With MSE only,
    equation (1) is the usual rate-distortion loss R + lambda' * 255^2 * MSE with
    lambda' = lambda / (1 - lambda), up to a constant factor.

    Args:
        mse: Factor of the squared error of 8-bit values.
        ms_ssim: Factor of 1 - MS-SSIM (Wang et al. 2003). Its five scales need 161 pixels or more
            on the shorter side; for smaller pictures the term is 0. CompressAI pairs
            0.0483 * 255^2 * MSE with 60.50 * (1 - MS-SSIM) at its highest quality.
        perceptual: Factor of D_VGG, the relative squared distance of VGG-16's feature maps
            (Johnson et al. 2016).
        vgg: Weights of VGG-16 for D_VGG as torchvision publishes them, a file or a URL.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Raises:
        ConfigError: If a factor is below 0 or all are 0, or D_VGG has no weights.
    """

    def __init__(
        self,
        mse: float = 1.0,
        ms_ssim: float = 0.0,
        perceptual: float = 0.0,
        vgg: str | None = None,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        if min(mse, ms_ssim, perceptual) < 0 or not mse + ms_ssim + perceptual > 0:
            raise ConfigError(
                "HumanTask: none of mse, ms_ssim, perceptual may be below 0, and one must be above"
            )
        self.mse, self.ms_ssim, self.perceptual = mse, ms_ssim, perceptual
        self.vgg = _vgg(vgg) if perceptual else nn.Sequential()

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The distortion of each picture within its true size, mean over the pictures."""
        if x is None:
            raise ConfigError(
                "a human receiver is trained against the original pictures: add LoadPicture to "
                "the pipeline"
            )
        parts = []
        for (height, width), members in by_size(data_samples).items():
            whole = len(members) == len(x)
            decoded, original = (p if whole else p[members] for p in (x_hat, x))
            parts.append(
                self._distortion(
                    decoded[..., :height, :width].float(), original[..., :height, :width].float()
                )
            )
        return {name: torch.cat([part[name] for part in parts]).mean() for name in parts[0]}

    def _distortion(self, decoded: Tensor, original: Tensor) -> dict[str, Tensor]:
        """The terms for pictures of one size, each [B]."""
        terms = {}
        if self.mse:
            error = (decoded - original).square().mean((1, 2, 3))
            terms["mse"] = self.mse * 255**2 * error
        if self.ms_ssim:
            value = similarity(decoded, original, 1.0)
            if value is None and not self.mse + self.perceptual:
                raise ConfigError(
                    f"a picture of {original.shape[-1]}x{original.shape[-2]} pixels has no "
                    f"MS-SSIM: take pictures of {SMALLEST} or more, or set mse above 0"
                )
            none = decoded.new_zeros(len(decoded))
            terms["ms_ssim"] = none if value is None else self.ms_ssim * (1 - value)
        if self.perceptual:
            with torch.no_grad():
                maps = self._maps(original)
            everywhere = torch.ones_like(original[:, :1])
            distance = feature_distance(self._maps(decoded), maps, everywhere)
            terms["perceptual"] = self.perceptual * distance.expand(len(decoded))
        return terms

    def _maps(self, picture: Tensor) -> list[Tensor]:
        x = torchvision.transforms.functional.normalize(picture, _MEAN, _STD)
        maps = []
        for number, layer in enumerate(self.vgg):
            x = layer(x)
            if number in _STAGES:
                maps.append(x)
        return maps

    def features(self, x: Tensor) -> list[Tensor]:
        """The pictures themselves, so that the distance is the squared error."""
        return [x]

    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> None:  # noqa: ARG002
        """Return ``None``: a viewer predicts nothing, and fidelity is measured separately."""
        return None


def _vgg(source: str | None) -> nn.Sequential:
    if source is None:
        raise ConfigError(
            "the perceptual term needs the weights of VGG-16: set vgg to torchvision's file, "
            f"{torchvision.models.VGG16_Weights.IMAGENET1K_V1.url}, or to that URL"
        )
    network = torchvision.models.vgg16()
    load_strictly(network, read_state_dict(source), source)
    layers = list(network.features)[: _STAGES[-1] + 1]
    # An in-place ReLU would change the maps that are compared.
    return nn.Sequential(*(nn.ReLU() if isinstance(x, nn.ReLU) else x for x in layers))
