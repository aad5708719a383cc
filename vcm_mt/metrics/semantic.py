"""The mean intersection over union of maps of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from vcm_mt.curves.areas import class_areas
from vcm_mt.curves.counts import Counts
from vcm_mt.datasets.truth import check_picture, read_truth
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics.judge import Entry, Judge, digest_of
from vcm_mt.registry import METRICS


@METRICS.register_module()
class SemanticMetric(BaseMetric):
    """The mIoU of a segmenter of mmsegmentation, in [0, 1]; NaN where there is no pixel to judge.

    Areas are summed over the pictures, as in :class:`mmseg.evaluation.IoUMetric`.

    Args:
        background: Whether one more class follows those of the data set: what is none of them.
        ann_file: The annotations that the maps are made of, where they are no files themselves.
        prefix: Of the result's name.
    """

    field = "pred_sem_seg"

    def __init__(
        self, background: bool = False, ann_file: str | None = None, prefix: str | None = None
    ) -> None:
        super().__init__(prefix=prefix)
        self.background, self.ann_file = background, ann_file

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep the areas."""
        classes = num_classes(self.dataset_meta["classes"], self.background)
        for sample in data_samples:
            found = sample[self.field]["data"]
            self.results.append(areas_of(found, sample, classes))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Compute the mIoU over the pictures that were processed."""
        counts = Counts("mIoU", np.stack(results).reshape(len(results), -1).astype(float))
        return {"mIoU": float(counts.score()[0]) / 100}


@METRICS.register_module()
class TaskSemanticMetric(SemanticMetric):
    """The same of a task's maps of its receiver's pictures.

    Args:
        task: Name of the task; it prefixes the result, as in ``sem/mIoU``.
        background: See :class:`SemanticMetric`, as for ``ann_file``.
    """

    def __init__(self, task: str, background: bool = False, ann_file: str | None = None) -> None:
        super().__init__(background, ann_file, prefix=task)
        self.field = f"pred_{task}"


def num_classes(classes: Sequence[str], background: bool) -> int:
    """How many classes maps have."""
    return len(classes) + background


def areas_of(found: Any, sample: Any, classes: int) -> Any:
    """See :func:`class_areas`.

    Args:
        found: Predicted classes, [1, H, W].
        sample: The picture's data sample, or its dict, with the true ones.
        classes: How many there are.

    Raises:
        DataError: If there is no true map, or it has another size.
        ConfigError: If a class is found that the data set does not know.
    """
    kept = sample.get("gt_sem_seg")
    if kept is None:
        raise DataError(
            f"{sample.get('img_path')} has no map of classes to judge by: load annotations in the "
            "test pipeline too, and vcm_mt.SemanticMap or with_seg=True"
        )
    true = kept.get("sem_seg", kept.get("data"))[0].cpu().numpy()
    own = found[0].cpu().numpy()
    if own.shape != true.shape:
        raise DataError(f"{sample.get('img_path')}: {own.shape} pixels found, {true.shape} true")
    if own.max() >= classes:
        raise ConfigError(
            f"the segmenter finds class number {own.max()}, and the data set has {classes}: name "
            "the classes it was trained for, and set background of its metric"
        )
    return class_areas(own, true, classes)


class SemanticJudge(Judge):
    """The mIoU of maps of classes. What is kept of a picture are areas, see :func:`class_areas`."""

    main = "mIoU"
    kind = "semantic"

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        super().__init__(task, metric, classes)
        self._truth = read_truth(self.ann_file, classes, ["segm"], task) if self.ann_file else None
        self._classes = num_classes(classes, metric.get("background", False))
        self._maps: list[str] = []

    @property
    def digest(self) -> str:
        """SHA-256 over the annotations, or over the files of maps."""
        if self._truth is not None:
            return digest_of(self._truth)
        data = hashlib.sha256()
        for path in self._maps:
            data.update(Path(path).read_bytes())
        return data.hexdigest()

    def check(self, picture: dict[str, Any]) -> None:
        """See :meth:`Judge.check`."""
        path, file = picture["img_path"], picture.get("seg_map_path")
        if self._truth is not None:
            check_picture(self._truth, self.ann_file, self.task, picture["img_id"], path)
        elif file and Path(file).is_file():
            self._maps.append(file)
        else:
            raise DataError(
                f"{self.task} cannot be judged: {path} has no map of classes ({file}); give the "
                "metric the ann_file whose masks maps are made of, or the data set the maps"
            )

    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:
        """The areas."""
        areas = areas_of(found.data, sample, self._classes)
        return [{"image_id": number, "areas": areas.ravel().tolist()}]

    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The mIoU."""
        known = {entry["image_id"]: np.array(entry["areas"], dtype=float) for entry in entries}
        sums = np.stack([sum(known[number] for number in unit) for unit in units])
        return {f"{self.task}_mIoU": Counts("mIoU", sums)}
