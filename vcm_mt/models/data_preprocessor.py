"""From the pictures of the data pipeline to the codec's input."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from vcm_mt.models.transmitter import extend, pad
from vcm_mt.registry import MODELS


@MODELS.register_module()
class VCMDataPreprocessor(BaseDataPreprocessor):
    """Stacks pictures at native resolution: RGB in [0, 1], padded for the codec.

    Pictures are extended by repeating their border to the largest height and width of the batch,
    rounded up to multiples of ``divisor``. The true size is ``img_shape`` of each data sample.

    Args:
        divisor: Factor of the codec's picture sizes, in pixels.
        bgr_to_rgb: Whether the pipeline loads BGR, as OpenMMLab's does.
    """

    def __init__(self, divisor: int = 64, bgr_to_rgb: bool = True) -> None:
        super().__init__()
        self.divisor = divisor
        self.bgr_to_rgb = bgr_to_rgb

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``, a list of uint8 [3, H, W], and ``data_samples``. When training from
                bitstreams there are no ``inputs``.
            training: Not used.

        Returns:
            ``inputs``, float [B, 3, H', W'] or ``None``, and ``data_samples``.
        """
        data = self.cast_data(data)
        if "inputs" not in data:
            return {"inputs": None, "data_samples": data["data_samples"]}
        pictures = [picture.flip(0) if self.bgr_to_rgb else picture for picture in data["inputs"]]
        height, width = (max(p.shape[axis] for p in pictures) for axis in (-2, -1))
        extended = torch.cat([extend(p[None].float(), height, width) for p in pictures])
        return {
            "inputs": pad(extended, self.divisor).div_(255),
            "data_samples": data["data_samples"],
        }
