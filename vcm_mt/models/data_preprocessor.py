"""Pictures from the data pipeline to what the codec sees."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from vcm_mt.models.transmitter import extend, pad
from vcm_mt.registry import MODELS


@MODELS.register_module()
class VCMDataPreprocessor(BaseDataPreprocessor):
    """Collates pictures at their native resolution: RGB in [0, 1], padded for the codec.

    A batch's pictures are extended by their border to the largest of them and on to a
    multiple of ``divisor``. True sizes stay in each data sample's ``img_shape``.

    Args:
        divisor: What the codec's picture sizes must be multiples of, in pixels.
        bgr_to_rgb: Whether the pipeline loads BGR, as OpenMMLab's does.
    """

    def __init__(self, divisor: int = 64, bgr_to_rgb: bool = True) -> None:
        super().__init__()
        self.divisor = divisor
        self.bgr_to_rgb = bgr_to_rgb

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """``inputs``: list of uint8 [3, H, W] in, float [B, 3, H', W'] out; ``None`` without."""
        data = self.cast_data(data)
        if "inputs" not in data:  # received latents are all there is
            return {"inputs": None, "data_samples": data["data_samples"]}
        pictures = [picture.flip(0) if self.bgr_to_rgb else picture for picture in data["inputs"]]
        height, width = (max(p.shape[axis] for p in pictures) for axis in (-2, -1))
        extended = torch.cat([extend(p[None].float(), height, width) for p in pictures])
        return {
            "inputs": pad(extended, self.divisor).div_(255),
            "data_samples": data["data_samples"],
        }
