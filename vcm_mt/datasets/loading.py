"""Pictures from files."""

from __future__ import annotations

from vcm_mt.registry import TRANSFORMS

# That comes first, so that the import of mmdet prints nothing.
# isort: split

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations as _LoadAnnotations

from vcm_mt.errors import DataError
from vcm_mt.pictures import read_pixels


@TRANSFORMS.register_module()
class LoadPicture(BaseTransform):
    """Loads a picture as :func:`vcm_mt.pictures.read_pixels` does, upright.

    It must have the size that its annotation tells: boxes of another size, or of pixels that were
    not turned upright, would lie elsewhere.
    """

    def __init__(self) -> None:
        self._warned = False

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put the picture at ``img_path`` into ``img``, [H, W, 3], BGR, in [0, 255].

        It is uint8, or float32 where the file has 16 bits.

        Raises:
            DataError: When the file is missing or no picture, cannot be sent, or differs in size
                from its annotation.
        """
        path = results["img_path"]
        values, orientation = read_pixels(Path(path))
        if values.dtype == np.uint16:  # grey, by which 65535 becomes 255
            values = np.repeat(values[..., None].astype(np.float32) / 257, 3, axis=2)
        size = values.shape[:2]
        check_size(results, size, orientation)
        # Turned by a half, or square, it has the same size either way.
        alike = 1 < orientation < 5 or (orientation > 4 and size[0] == size[1])
        if "instances" in results and alike and not self._warned:
            self._warned = True
            warnings.warn(
                f"{path} is turned upright by its EXIF orientation {orientation}, and others may "
                "be: their boxes must be those of the upright pictures",
                stacklevel=2,
            )
        results["img"] = cv2.cvtColor(values, cv2.COLOR_RGB2BGR)
        results["img_shape"] = results["ori_shape"] = size
        return results


def check_size(results: dict[str, Any], size: tuple[int, ...], orientation: int = 1) -> None:
    """Compare a picture's height and width in pixels with its annotation's, where it has one.

    Args:
        results: Of a COCO data set; of a folder of pictures it has no annotation.
        size: Of the upright picture.
        orientation: By which EXIF turned it upright.

    Raises:
        DataError: When they differ.
    """
    if "instances" not in results or size == (results["height"], results["width"]):
        return
    told = f"{results['img_path']} is {size[1]}x{size[0]}"
    told += f" by its EXIF orientation {orientation}" if orientation > 4 else ""
    raise DataError(f"{told}, its annotation {results['width']}x{results['height']}")


@TRANSFORMS.register_module()
class LoadAnnotations(_LoadAnnotations):
    """mmdet's loader, which leaves masks out where not every object of a picture has one."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load boxes, labels and, with ``with_mask``, masks."""
        wanted: bool = self.with_mask  # type: ignore[has-type]
        self.with_mask = wanted and all("mask" in one for one in results.get("instances", []))
        try:
            return super().transform(results)
        finally:
            self.with_mask = wanted
