"""COCO-format data that says what is wrong with it."""

from __future__ import annotations

from typing import Any

from mmdet.datasets import CocoDataset

from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS


@DATASETS.register_module()
class CheckedCocoDataset(SeededTransforms, CocoDataset):
    """The COCO dataset of mmdet; its annotation file must be COCO's and hold the classes."""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations.

        Raises:
            DataError: When the file is not in COCO format or lacks a class of the config.
        """
        try:
            records = super().load_data_list()
        except (KeyError, TypeError, AssertionError, ValueError) as error:
            raise DataError(f"{self.ann_file} is not in COCO format: {error!r}") from error
        if not records:
            raise DataError(f"{self.ann_file} has no pictures")
        classes = self.metainfo["classes"]
        if len(self.cat_ids) < len(classes):
            raise DataError(
                f"{self.ann_file} has only {len(self.cat_ids)} of the classes "
                f"{', '.join(classes)}: set the dataset's metainfo.classes to what the task "
                "network was trained for"
            )
        return records
