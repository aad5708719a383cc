"""How a task's predictions are kept by picture, and scored over pictures or videos.

The metrics of this room score one pass for mmengine's evaluator. An experiment keeps the
predictions of every picture, so that it can be resumed and resampled: that is what judges are for.
Which judge a task has follows from its metric in the config.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from vcm_mt.curves.matches import Matches
from vcm_mt.curves.sizes import further_scores
from vcm_mt.curves.tracks import by_video, count_tracks, shifted
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.truth import check_labels, check_picture, read_tracks, read_truth
from vcm_mt.errors import ConfigError

Entry = dict[str, Any]


class Judge(ABC):
    """Judges one task by the annotations of its metric.

    Args:
        task: The task's name.
        metric: Its metric's config.
        classes: The data set's.

    Attributes:
        kind: What is judged, for the record of a point.
        main: The score that the task is told by.
        truth: The annotations.
    """

    main = "mAP"
    kind: str
    truth: Annotations

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        self.task, self.classes = task, classes
        self.ann_file: str = metric.ann_file

    @property
    def digest(self) -> str:
        """SHA-256 over the annotations."""
        return hashlib.sha256(json.dumps(self.truth.dataset, sort_keys=True).encode()).hexdigest()

    def check(self, number: Any, picture: str) -> None:
        """Make sure that a picture is among the annotated ones.

        Raises:
            DataError: When it is not.
        """
        check_picture(self.truth, self.ann_file, self.task, number, picture)

    @abstractmethod
    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:
        """What is kept of a picture, as plain values for JSON.

        Args:
            number: The picture's ``img_id``.
            found: What the task predicted, see :meth:`vcm_mt.models.tasks.Task.predict`.
            sample: The picture's data sample.
        """

    @abstractmethod
    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """What the scores follow from, by the score's name.

        Args:
            entries: Of all pictures.
            units: The pictures' ``img_id`` by what is measured as a whole.

        Returns:
            :class:`Matches` or :class:`Counts`.
        """

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:  # noqa: ARG002
        """Further scores by name, in percent, that are not resampled."""
        return {}


class CocoJudge(Judge):
    """COCO's average precision of boxes or masks."""

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        super().__init__(task, metric, classes)
        self.kind = self._kind(metric)
        self.truth = self._read()

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
        matches = Matches.of(self.truth, entries, self.kind, numbers)
        if len(numbers) > len(units):
            matches = matches.grouped([n for n, unit in enumerate(units) for _ in unit])
        return {f"{self.task}_mAP": matches}

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:
        """AP50, AP75, and AP by size."""
        return further_scores(self.truth, entries, self.kind, numbers)


class TrackJudge(CocoJudge):
    """HOTA, MOTA and IDF1 of tracks; ``offset``, ``clear``, ``any_class`` as for the metric."""

    main = "HOTA"

    def _kind(self, metric: Any) -> str:
        self._any_class = bool(metric.get("any_class"))
        self._offset, self._clear = float(metric.get("offset", 0)), bool(metric.get("clear"))
        offset = f" offset {self._offset:g}" if self._offset else ""
        every = " any class" if self._any_class else ""
        return f"track{offset}{' clear' if self._clear else ''}{every}"

    def _read(self) -> Annotations:
        return read_tracks(self.ann_file, self.classes, self.task)

    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:
        """Tracks in COCO's result format, each with its ``instance_id``."""
        if self._any_class:
            found = found.clone()
            found.labels = found.labels.new_zeros(len(found))
        return super().entries(number, found, sample)

    def _add(self, entries: list[Entry], found: Any) -> None:
        if "instances_id" not in found:
            raise ConfigError(f"{self.task} finds objects and follows none: judge it by its mAP")
        for entry, track in zip(entries, found.instances_id.tolist(), strict=True):
            entry["instance_id"] = track
            entry["bbox"] = shifted(entry["bbox"], self._offset)

    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """All three, by video."""
        truth = list(self.truth.anns.values())
        counts = count_tracks(by_video(truth, units), by_video(entries, units), self._clear)
        return {f"{self.task}_{name}": one for name, one in counts.items()}

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:  # noqa: ARG002
        """None."""
        return {}


def make_judge(task: str, metric: Any, classes: Sequence[str]) -> Judge:
    """The judge of a task.

    Args:
        task: Its name.
        metric: Its metric's config.
        classes: The data set's.

    Raises:
        ConfigError: When the metric has none.
        DataError: When the task can't be judged by the annotations.
    """
    name = metric["type"].rpartition(".")[2]
    if name not in JUDGES:
        raise ConfigError(f"{task} is judged by {name}, and curves know {', '.join(JUDGES)}")
    return JUDGES[name](task, metric, classes)


#: By the type of a task's metric.
JUDGES: dict[str, type[Judge]] = {"TaskCocoMetric": CocoJudge, "TaskTrackMetric": TrackJudge}


def _encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
