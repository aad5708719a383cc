"""Maps of classes out of the objects' masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from vcm_mt.errors import DataError
from vcm_mt.registry import TRANSFORMS

#: Pixels of no class, as mmsegmentation marks them.
IGNORED = 255


@TRANSFORMS.register_module()
class SemanticMap(BaseTransform):
    """Paints the objects' masks into a map of classes, the largest object first.

    It follows ``vcm_mt.LoadAnnotations`` with masks. Crowds are 255, which counts as no class.

    Args:
        background: Class of the pixels of no object.
    """

    def __init__(self, background: int) -> None:
        self.background = background

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put the map into ``gt_seg_map``, uint8 [H, W].

        Raises:
            DataError: If an object has no mask.
        """
        masks = results.get("gt_masks")
        labels = results["gt_bboxes_labels"]
        if masks is None and len(labels):
            raise DataError(
                "objects without masks give no map of classes: give each a segmentation, and load "
                "them by vcm_mt.LoadAnnotations with with_mask=True"
            )
        classes = np.full(results["img_shape"][:2], self.background, dtype=np.uint8)
        if masks is not None:
            order = np.argsort(-masks.areas, kind="stable")
            bitmaps = masks.to_bitmap().masks if hasattr(masks, "to_bitmap") else masks.masks
            ignored = results["gt_ignore_flags"]
            for place in order:
                classes[bitmaps[place] > 0] = IGNORED if ignored[place] else labels[place]
        results["gt_seg_map"] = classes
        results["ignore_index"] = IGNORED
        return results
