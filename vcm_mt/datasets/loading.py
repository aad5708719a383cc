"""Pictures from files."""

from __future__ import annotations

from typing import Any

import cv2
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations as _LoadAnnotations

from vcm_mt.errors import DataError
from vcm_mt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPicture(LoadImageFromFile):
    """The loader of mmcv, which names a file that it cannot read."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Load ``img_path``.

        Raises:
            DataError: When the file is missing or no picture.
        """
        try:
            return super().transform(results)
        except (AssertionError, OSError, ValueError, cv2.error) as error:
            reason = " ".join(str(error).split())  # one line, as a worker's error is told
            raise DataError(f"{results['img_path']} is not a readable picture: {reason}") from error


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
