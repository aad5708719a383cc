"""Pictures from files."""

from __future__ import annotations

from typing import Any

import cv2
from mmcv.transforms import LoadImageFromFile

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
