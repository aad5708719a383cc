"""Maps of classes: out of the objects' masks, and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset

from vcm_mt.datasets.folder import picture_size
from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS, TRANSFORMS

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
        results["seg_fields"] = ["gt_seg_map"]  # for mmsegmentation's transforms
        results["ignore_index"] = IGNORED
        return results


@DATASETS.register_module()
class SemanticDataset(SeededTransforms, BaseDataset):
    """Pictures, and a file with the map of classes of each, as Cityscapes and COCO-Stuff have them.

    Load the maps by ``vcm_mt.LoadAnnotations`` with ``with_bbox=False`` and ``with_seg=True``.

    Args:
        data_prefix: ``img``, the pictures' folder, and ``seg``, that of the maps; subfolders are
            the same in both.
        img_suffix: What ends the names of pictures.
        seg_map_suffix: What ends those of their maps in its place.
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self, img_suffix: str = ".jpg", seg_map_suffix: str = ".png", **kwargs: Any
    ) -> None:
        self.img_suffix, self.seg_map_suffix = img_suffix, seg_map_suffix
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the pictures by path, and read their sizes.

        Raises:
            DataError: If there are no pictures, or one has no map.
        """
        pictures, maps = Path(self.data_prefix["img"]), Path(self.data_prefix["seg"])
        paths = sorted(pictures.rglob(f"*{self.img_suffix}"))
        if not paths:
            raise DataError(f"no picture in {pictures}: names that end in {self.img_suffix}")
        found = []
        for number, path in enumerate(paths):
            inner = str(path.relative_to(pictures)).removesuffix(self.img_suffix)
            file = maps / f"{inner}{self.seg_map_suffix}"
            if not file.is_file():
                raise DataError(f"{path} has no map of classes: {file} is missing")
            record = {"img_path": str(path), "img_id": number, "seg_map_path": str(file)}
            found.append(record | picture_size(path))
        return found
