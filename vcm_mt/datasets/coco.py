"""mmdet's COCO data set with checks and clear errors."""

from __future__ import annotations

from vcm_mt.registry import DATASETS

# Imported first, so that the import of mmdet prints nothing.
# isort: split

from typing import Any

from mmdet.datasets import CocoDataset

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.keypoints import shared_joints
from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError, naming


@DATASETS.register_module()
class CheckedCocoDataset(SeededTransforms, CocoDataset):
    """mmdet's COCO data set, whose annotation file is checked.

    Objects keep their ``keypoints``, a list of 3 K numbers as in the file, and records tell the
    names of their ``joints``, where the file has them.
    """

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

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """Read a picture's annotations."""
        record: dict[str, Any] = super().parse_data_info(raw_data_info)
        joints = shared_joints(self.coco.loadCats(self.cat_ids))
        if joints is None:
            return record
        instances = []
        for one in raw_data_info["raw_ann_info"]:  # mmdet leaves some out, and reads no keypoints
            alone = super().parse_data_info({**raw_data_info, "raw_ann_info": [one]})
            own = {"keypoints": one.get("keypoints")}
            instances += [{**kept, **own} for kept in alone["instances"]]
        return record | {"instances": instances, "joints": joints}

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline.

        Raises:
            DataError: If a transform fails, with the name of the picture.
        """
        with naming(self.get_data_info(idx)["img_path"]):
            return super().prepare_data(idx)
