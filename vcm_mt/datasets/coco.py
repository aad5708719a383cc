"""mmdet's COCO data set with checks and clear errors."""

from __future__ import annotations

from vcm_mt.registry import DATASETS

# Imported first, so that the import of mmdet prints nothing.
# isort: split

from typing import Any

from mmdet.datasets import CocoDataset

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError, naming


@DATASETS.register_module()
class CheckedCocoDataset(SeededTransforms, CocoDataset):
    """mmdet's COCO data set, whose annotation file is checked."""

    COCOAPI = Annotations

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations.

        Raises:
            DataError: If the file is not in COCO format, has no pictures, or lacks a class of the
                config.
        """
        records: list[dict[str, Any]] = super().load_data_list()
        if not records:
            raise DataError(
                f"{self.ann_file} has no pictures: check the dataset's ann_file and filter_cfg"
            )
        return records

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline.

        Raises:
            DataError: If a transform fails, with the name of the picture.
        """
        with naming(self.get_data_info(idx)["img_path"]):
            return super().prepare_data(idx)
