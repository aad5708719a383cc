"""mmdet's COCO metric, by the one rule of what is judged, and for one task among several."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.evaluation.truth import check_labels, check_picture, has_objects, read_truth
from vcm_mt.registry import METRICS

with warnings.catch_warnings():  # it warns of a quicker metric, which is not used here
    warnings.simplefilter("ignore")
    from mmdet.evaluation import CocoMetric


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """COCO mAP of the pictures that were shown, over the classes of the config.

    Args:
        ann_file: COCO annotations, which hold these pictures.
        **kwargs: Other arguments of :class:`mmdet.evaluation.CocoMetric`.

    Raises:
        ConfigError: Without ``ann_file``.
    """

    #: Who is judged, for errors.
    judged = "the network"

    def __init__(self, ann_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if ann_file is None:
            raise ConfigError(f"{type(self).__name__} needs an ann_file: COCO annotations")
        self.ann_file = ann_file
        self._coco_api: Annotations | None = None

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """What the data set says of itself: its ``classes``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any]) -> None:
        """Read the truth, before anything is coded.

        Raises:
            DataError: When nothing can be judged by it.
        """
        self._dataset_meta = meta
        self._classes: Sequence[str] = meta["classes"]
        self._coco_api = read_truth(self.ann_file, self._classes, self.metrics, self.judged)
        if not has_objects(self._coco_api):
            raise DataError(
                f"{self.judged} cannot be judged: its annotations hold no object of its classes, "
                f"crowds apart ({self.ann_file})"
            )

    def check_pictures(self, dataset: Any) -> None:
        """Make sure that a data set's pictures are judged by their own annotations.

        Raises:
            DataError: When the annotations are of others.
        """
        for index in range(len(dataset)):
            self._check(dataset.get_data_info(index))

    def _check(self, one: dict[str, Any]) -> None:
        assert self._coco_api is not None, "the truth is read with dataset_meta"
        if "img_path" in one:
            number, picture = one["img_id"], one["img_path"]
            check_picture(self._coco_api, self.ann_file, self.judged, number, picture)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep what was found.

        Raises:
            ConfigError: When masks are judged and none are found, or a class that the config lacks.
            DataError: When a picture is not among the annotated ones.
        """
        for sample in data_samples:
            self._check(sample)
            if "segm" in self.metrics and "masks" not in sample["pred_instances"]:
                raise ConfigError(
                    f"{self.judged} finds boxes without masks: judge it with metric='bbox'"
                )
            check_labels(sample["pred_instances"]["labels"], self._classes, self.judged)
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Mmdet's figures; 0 where nothing was found at all, NaN where nothing was to be found."""
        assert self._coco_api is not None
        self.img_ids = list(dict.fromkeys(found["img_id"] for _, found in results))
        self.cat_ids = self._coco_api.get_cat_ids(self._classes)
        figures = super().compute_metrics(results)
        if not figures:
            nothing = 0.0 if has_objects(self._coco_api, self.img_ids) else np.nan
            figures = {f"{metric}_mAP": nothing for metric in self.metrics}
        return {name: np.nan if value == -1 else value for name, value in figures.items()}

    def results2json(self, results: Sequence[Any], outfile_prefix: str) -> dict[str, str]:
        """Write what was found, its labels as numbers of categories."""
        files: dict[str, str] = super().results2json(results, outfile_prefix)
        self.cat_ids = sorted(self.cat_ids)  # from here on, in the order of pycocotools' figures
        return files


@METRICS.register_module()
class TaskCocoMetric(CheckedCocoMetric):
    """COCO mAP of what a task found in its receiver's pictures.

    Args:
        task: Name of the task; it prefixes the results, as in ``det/bbox_mAP``.
        **kwargs: Arguments of :class:`CheckedCocoMetric`.
    """

    def __init__(self, task: str, **kwargs: Any) -> None:
        super().__init__(prefix=task, **kwargs)
        self.judged = task
        self.field = f"pred_{task}"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Show mmdet's metric this task's predictions."""
        own = [{**sample, "pred_instances": sample[self.field]} for sample in data_samples]
        super().process(data_batch, own)
