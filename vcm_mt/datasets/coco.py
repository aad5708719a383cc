"""COCO-format data that says what is wrong with it."""

from __future__ import annotations

from vcm_mt.registry import DATASETS

# That comes first, so that the import of mmdet prints nothing.
# isort: split

from typing import Any

from mmdet.datasets import CocoDataset

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError, naming


@DATASETS.register_module()
class CheckedCocoDataset(SeededTransforms, CocoDataset):
    """The COCO dataset of mmdet; its annotation file must be COCO's and hold the classes."""

    COCOAPI = Annotations

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations.

        Raises:
            DataError: When the file is not in COCO format, has no pictures, or lacks a class of
                the config.
        """
        records: list[dict[str, Any]] = super().load_data_list()
        if not records:
            raise DataError(f"{self.ann_file} has no pictures")
        return records

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline.

        Raises:
            DataError: Names the picture with which a transform fails.
        """
        with naming(self.get_data_info(idx)["img_path"]):
            return super().prepare_data(idx)
