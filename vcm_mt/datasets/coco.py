"""COCO-format data that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.datasets import CocoDataset

from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS


class _InOrder(CocoDataset.COCOAPI):
    def get_cat_ids(self, cat_names: Sequence[str] = (), **kwargs: Any) -> list[int]:
        found: list[int] = super().get_cat_ids(cat_names=list(cat_names), **kwargs)
        there = [self.cats[number]["name"] for number in found]
        if len(there) == len(cat_names) and there != list(cat_names):
            raise DataError(
                f"the annotations have the classes in the order {', '.join(there)}, not "
                f"{', '.join(cat_names)}: labels would be mixed up; bring the categories into the "
                "order of the task network's classes"
            )
        return found


@DATASETS.register_module()
class CheckedCocoDataset(SeededTransforms, CocoDataset):
    """The COCO dataset of mmdet; its annotation file must be COCO's and hold the classes."""

    COCOAPI = _InOrder

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations.

        Raises:
            DataError: When the file is not in COCO format, has no pictures, lacks a class of the
                config or has the classes in another order.
        """
        try:
            records = super().load_data_list()
        except DataError as error:
            raise DataError(f"{self.ann_file}: {error}") from error
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
