"""Transforms that load pictures and annotations."""

from __future__ import annotations

from vcm_mt.registry import TRANSFORMS

# Imported first, so that the import of mmdet prints nothing.
# isort: split

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations as _LoadAnnotations
from mmdet.datasets.transforms import PackDetInputs
from mmdet.datasets.transforms import RandomFlip as _RandomFlip

from vcm_mt.datasets.keypoints import check_moved, flip_keypoints, load_keypoints
from vcm_mt.errors import DataError
from vcm_mt.pictures import read_pixels


@TRANSFORMS.register_module()
class LoadPicture(BaseTransform):
    """Loads a picture with :func:`vcm_mt.pictures.read_pixels`, turned upright by its EXIF.

    Its size must be that of its annotation: otherwise the boxes would be in the wrong places.
    """

    def __init__(self) -> None:
        self._warned = False

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put the picture at ``img_path`` into ``img``, [H, W, 3], BGR, in [0, 255].

        It is uint8, or float32 where the file has 16 bits.

        Raises:
            DataError: If the file is missing, not a picture or one that cannot be sent, or its
                size differs from its annotation.
        """
        path = results["img_path"]
        values, orientation = read_pixels(Path(path))
        if values.dtype == np.uint16:  # grey; 65535 becomes 255
            values = np.repeat(values[..., None].astype(np.float32) / 257, 3, axis=2)
        size = values.shape[:2]
        check_size(results, size, orientation)
        # If it is rotated by 180 degrees, or square, check_size cannot notice.
        undetectable = 1 < orientation < 5 or (orientation > 4 and size[0] == size[1])
        if "instances" in results and undetectable and not self._warned:
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
    """Compare the size of a picture with its annotation, if it has one.

    Args:
        results: The pipeline's results; without ``instances`` there is no annotation.
        size: Height and width in pixels of the upright picture.
        orientation: The picture's EXIF orientation.

    Raises:
        DataError: If the sizes differ.
    """
    if "instances" not in results or size == (results["height"], results["width"]):
        return
    picture = f"{results['img_path']} is {size[1]}x{size[0]}"
    picture += f" by its EXIF orientation {orientation}" if orientation > 4 else ""
    raise DataError(f"{picture}, its annotation {results['width']}x{results['height']}")


@TRANSFORMS.register_module()
class LoadAnnotations(_LoadAnnotations):
    """mmdet's loader, which here skips the masks of a picture if an object has none.

    With ``with_keypoints`` it also loads ``gt_keypoints``, float32 [n, K, 2], x and y in pixels,
    and ``gt_keypoints_visible``, float32 [n, K], 1 for joints that are annotated.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load boxes, labels and, with ``with_mask``, masks.

        Raises:
            DataError: If keypoints are asked for, and an object has none or another number.
        """
        wanted: bool = self.with_mask  # type: ignore[has-type]
        self.with_mask = wanted and all("mask" in one for one in results.get("instances", []))
        try:
            results = super().transform(results)
        finally:
            self.with_mask = wanted
        if self.with_keypoints:
            load_keypoints(results)
        return results


@TRANSFORMS.register_module()
class RandomFlip(_RandomFlip):
    """mmdet's flip, which here also flips keypoints: left and right joints change places."""

    def _flip(self, results: dict[str, Any]) -> None:
        super()._flip(results)
        if "gt_keypoints" in results:
            flip_keypoints(results)


@TRANSFORMS.register_module()
class PackFrame(PackDetInputs):
    """mmdet's ``PackDetInputs`` for a frame of a video: also its place, and the objects' tracks.

    ``gt_instances.instances_ids`` is there after ``mmdet.LoadTrackAnnotations``.
    """

    mapping_table = PackDetInputs.mapping_table | {"gt_instances_ids": "instances_ids"}

    def __init__(
        self,
        meta_keys: tuple[str, ...] = (
            *("img_id", "img_path", "ori_shape", "img_shape", "video_id", "frame_id"),
            *("video_length", "action", "key_frame"),
        ),
    ) -> None:
        super().__init__(meta_keys)


@TRANSFORMS.register_module()
class PackPoses(PackDetInputs):
    """mmdet's ``PackDetInputs`` for pictures with keypoints.

    After ``vcm_mt.LoadAnnotations`` with keypoints, ``gt_instances`` has ``keypoints``, [n, K, 2],
    and ``keypoints_visible``, [n, K].
    """

    mapping_table = PackDetInputs.mapping_table | {
        "gt_keypoints": "keypoints",
        "gt_keypoints_visible": "keypoints_visible",
    }

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a picture.

        Raises:
            ConfigError: If a transform changed the picture and not its keypoints.
        """
        check_moved(results)
        packed: dict[str, Any] = super().transform(results)
        return packed
