"""mmdet's COCO metric over the config's classes, and for one task among several."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from vcm_mt.curves.matches import Matches
from vcm_mt.curves.sizes import further_scores
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.truth import check_labels, check_picture, has_objects, read_truth
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics.judge import Entry, Judge, digest_of
from vcm_mt.registry import METRICS

with warnings.catch_warnings():  # it warns of a quicker metric, which is not used here
    warnings.simplefilter("ignore")
    from mmdet.evaluation import CocoMetric


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """COCO AP of the pictures that were processed, over the classes of the config.

    The mAP is computed by :class:`vcm_mt.curves.matches.Matches`, as that of every R-P point, and
    is not rounded. mmdet computes the figures beside it, as ``bbox_mAP_50``, to three digits, and
    everything where ``iou_thrs`` asks for other thresholds than COCO's.

    Args:
        ann_file: COCO annotations of these pictures.
        **kwargs: Other arguments of :class:`mmdet.evaluation.CocoMetric`.

    Raises:
        ConfigError: Without ``ann_file``.
    """

    #: Whose detections are judged, for errors.
    judged = "the network"

    def __init__(self, ann_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if ann_file is None:
            raise ConfigError(f"{type(self).__name__} needs an ann_file: COCO annotations")
        self.ann_file = ann_file
        self._at_cocos_thresholds = kwargs.get("iou_thrs") is None
        self._coco_api: Annotations | None = None

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """The dataset's metainfo, with its ``classes``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any]) -> None:
        """Read the annotations, before anything is encoded.

        Raises:
            DataError: When they hold no object to find.
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
        """Make sure that the annotations are those of a dataset's pictures.

        Raises:
            DataError: When they are of other pictures.
        """
        for index in range(len(dataset)):
            self._check(dataset.get_data_info(index))

    def _check(self, one: dict[str, Any]) -> None:
        assert self._coco_api is not None, "the truth is read with dataset_meta"
        if "img_path" in one:
            number, picture = one["img_id"], one["img_path"]
            check_picture(self._coco_api, self.ann_file, self.judged, number, picture)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the detections.

        Raises:
            ConfigError: When masks are judged and there are none, or a class is not the config's.
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
        """Compute the figures; NaN where there is no object to find."""
        assert self._coco_api is not None
        self.img_ids = list(dict.fromkeys(found["img_id"] for _, found in results))
        self.cat_ids = self._coco_api.get_cat_ids(self._classes)
        figures = super().compute_metrics(results)  # of which there are none without a detection
        if not self.format_only and (self._at_cocos_thresholds or not figures):
            figures |= {f"{kind}_mAP": self._mean_precision(kind) for kind in self._kinds()}
        return {name: np.nan if value == -1 else value for name, value in figures.items()}

    def _kinds(self) -> list[str]:
        return [kind for kind in self.metrics if kind in ("bbox", "segm")]

    def _mean_precision(self, kind: str) -> float:
        matches = Matches.of(self._coco_api, self._detections[kind], kind, self.img_ids)
        return float(matches.average_precision()[0]) / 100

    def results2json(self, results: Sequence[Any], outfile_prefix: str) -> dict[str, str]:
        """Write the detections, their labels as numbers of categories, and keep them."""
        files: dict[str, str] = super().results2json(results, outfile_prefix)
        self._detections = {
            kind: json.loads(Path(files[kind]).read_bytes()) for kind in self._kinds()
        }
        self.cat_ids = sorted(self.cat_ids)  # from here on, in the order of pycocotools' figures
        return files


@METRICS.register_module()
class TaskCocoMetric(CheckedCocoMetric):
    """COCO AP of a task's detections in its receiver's pictures.

    Args:
        task: Name of the task; it prefixes the results, as in ``det/bbox_mAP``.
        **kwargs: Arguments of :class:`CheckedCocoMetric`.
    """

    def __init__(self, task: str, **kwargs: Any) -> None:
        super().__init__(prefix=task, **kwargs)
        self.judged = task
        self.field = f"pred_{task}"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep this task's detections."""
        own = [{**sample, "pred_instances": sample[self.field]} for sample in data_samples]
        super().process(data_batch, own)


class CocoJudge(Judge):
    """COCO's average precision of boxes or masks."""

    main = "mAP"

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        super().__init__(task, metric, classes)
        self.kind = self._kind(metric)
        self.truth: Annotations = self._read()

    @property
    def digest(self) -> str:
        """SHA-256 over the annotations."""
        return digest_of(self.truth)

    def check(self, picture: dict[str, Any]) -> None:
        """Make sure that a picture is among the annotated ones."""
        number, path = picture["img_id"], picture["img_path"]
        check_picture(self.truth, self.ann_file, self.task, number, path)

    def names(self) -> dict[int, str]:
        """See :meth:`Judge.names`."""
        return {one["id"]: one["name"] for one in self.truth.dataset["categories"]}

    def objects(self, number: Any) -> list[Entry]:
        """See :meth:`Judge.objects`."""
        found: list[Entry] = self.truth.loadAnns(self.truth.getAnnIds(imgIds=[number]))
        return found

    def _kind(self, metric: Any) -> str:
        kinds = metric.get("metric", "bbox")
        kind: str = kinds if isinstance(kinds, str) else kinds[-1]
        if kind not in ("bbox", "segm"):
            raise ConfigError(f"a COCO metric judges bbox or segm, not {kind}")
        return kind

    def _read(self) -> Annotations:
        return read_truth(self.ann_file, self.classes, [self.kind], self.task)

    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:  # noqa: ARG002
        """Detections in COCO's result format."""
        check_labels(found.labels, self.classes, self.task)
        categories = self.truth.get_cat_ids(self.classes)
        boxes = found.bboxes.double().cpu().numpy()
        boxes[:, 2:] -= boxes[:, :2]
        entries = [
            {"image_id": number, "category_id": categories[label], "score": score, "bbox": box}
            for label, score, box in zip(
                found.labels.tolist(), found.scores.tolist(), boxes.tolist(), strict=True
            )
        ]
        self._add(entries, found)
        return entries

    def _add(self, entries: list[Entry], found: Any) -> None:
        if self.kind.endswith("segm"):
            if "masks" not in found:
                raise ConfigError(
                    f"{self.task} finds boxes without masks: judge it with metric='bbox'"
                )
            for entry, mask in zip(entries, found.masks, strict=True):
                entry["segmentation"] = _encoded(mask.cpu().numpy())

    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The mAP."""
        numbers = [number for unit in units for number in unit]
        matches = self._matches(entries, numbers)
        if len(numbers) > len(units):
            matches = matches.grouped([n for n, unit in enumerate(units) for _ in unit])
        return {f"{self.task}_mAP": matches}

    def _matches(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> Matches:
        return Matches.of(self.truth, entries, self.kind, numbers)

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:
        """AP50, AP75, and AP by size."""
        return further_scores(self.truth, entries, self.kind, numbers)


def _encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
