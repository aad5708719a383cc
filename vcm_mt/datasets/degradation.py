"""Degradations for training a task network that, like COCO's, has seen imperfect pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from vcm_mt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomDegradation(BaseTransform):
    """Blur, compress or roughen a picture, each with probability ``prob``.

    COCO's pictures were scaled and JPEG-coded by many cameras and programs; a network trained
    on clean drawings alone breaks at the slightest blur.

    Args:
        prob: Chance of each of the three.
        largest_scale: Blur by scaling down by 1 to this and up again.
        lowest_quality: JPEG quality from this to 90.
        largest_noise: Standard deviation of Gaussian noise, in 8-bit levels.
    """

    def __init__(
        self,
        prob: float = 0.4,
        largest_scale: float = 2.5,
        lowest_quality: int = 10,
        largest_noise: float = 10.0,
    ) -> None:
        self.prob = prob
        self.largest_scale = largest_scale
        self.lowest_quality = lowest_quality
        self.largest_noise = largest_noise

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img``, uint8 [H, W, 3]."""
        for change in (self._blur, self._roughen, self._compress):
            if np.random.rand() < self.prob:
                results["img"] = change(results["img"])
        return results

    def _blur(self, picture: np.ndarray) -> np.ndarray:
        scale = np.random.uniform(1, self.largest_scale)
        height, width = picture.shape[:2]
        small = (max(1, round(width / scale)), max(1, round(height / scale)))
        smaller = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(smaller, (width, height), interpolation=cv2.INTER_CUBIC)

    def _compress(self, picture: np.ndarray) -> np.ndarray:
        quality = int(np.random.randint(self.lowest_quality, 91))
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    def _roughen(self, picture: np.ndarray) -> np.ndarray:
        noise = np.random.normal(0, np.random.uniform(0, self.largest_noise), picture.shape)
        return np.clip(picture + noise, 0, 255).round().astype(np.uint8)
