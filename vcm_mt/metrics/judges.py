"""How a task's predictions are kept by picture, and scored over pictures or videos.

The metrics of this room score one pass for mmengine's evaluator. An experiment keeps what was
predicted for every picture, so that it can be resumed and resampled: that is what judges are for.
Which judge a task has follows from its metric in the config.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from vcm_mt.curves.counts import Counts
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.sizes import further_scores
from vcm_mt.curves.tracks import by_video, count_tracks
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.truth import check_labels, check_picture, read_tracks, read_truth
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics.action import true_action
from vcm_mt.metrics.semantic import areas_of, num_classes

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
    """

    main: str
    kind: str

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        self.task, self.classes = task, classes
        self.ann_file: str = metric.get("ann_file") or ""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 over what the task is judged by."""

    @abstractmethod
    def check(self, picture: dict[str, Any]) -> None:
        """Make sure that a picture can be judged.

        Args:
            picture: Its record in the data set.

        Raises:
            DataError: When it cannot.
        """

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

    def names(self) -> dict[int, str]:
        """The objects' categories, for readers; none where no objects are found."""
        return {}

    def objects(self, number: Any) -> list[Entry]:  # noqa: ARG002
        """The true objects of a picture in COCO's form, for readers."""
        return []


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
        if self.kind == "segm":
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
    """HOTA, MOTA and IDF1 of tracks."""

    main = "HOTA"

    def _kind(self, metric: Any) -> str:  # noqa: ARG002
        return "track"

    def _read(self) -> Annotations:
        return read_tracks(self.ann_file, self.classes, self.task)

    def _add(self, entries: list[Entry], found: Any) -> None:
        if "instances_id" not in found:
            raise ConfigError(f"{self.task} finds objects and follows none: judge it by its mAP")
        for entry, track in zip(entries, found.instances_id.tolist(), strict=True):
            entry["instance_id"] = track

    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """All three, by video."""
        truth = list(self.truth.anns.values())
        counts = count_tracks(by_video(truth, units), by_video(entries, units))
        return {f"{self.task}_{name}": one for name, one in counts.items()}

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:  # noqa: ARG002
        """None."""
        return {}


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


class ActionJudge(Judge):
    """Top-1 accuracy of the actions of videos."""

    main = "top1"
    kind = "action"

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        super().__init__(task, metric, classes)
        self._truth = Annotations(self.ann_file)

    @property
    def digest(self) -> str:
        """SHA-256 over the annotations."""
        return digest_of(self._truth)

    def check(self, picture: dict[str, Any]) -> None:
        """Make sure that a frame is of a video with an action."""
        number, path = picture["img_id"], picture["img_path"]
        check_picture(self._truth, self.ann_file, self.task, number, path)
        true_action(picture)

    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:
        """With a video's last frame, the likeliest action and the true one."""
        if found is None:
            return []
        action = int(found.labels[0])
        return [{"image_id": number, "action": action, "true": true_action(sample)}]

    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The accuracy."""
        right = {entry["image_id"]: entry["action"] == entry["true"] for entry in entries}
        counts = np.array([[right[unit[-1]], 1] for unit in units], dtype=float)
        return {f"{self.task}_top1": Counts("top1", counts)}


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
JUDGES: dict[str, type[Judge]] = {
    "TaskCocoMetric": CocoJudge,
    "TaskTrackMetric": TrackJudge,
    "TaskSemanticMetric": SemanticJudge,
    "TaskActionMetric": ActionJudge,
}


def digest_of(truth: Annotations) -> str:
    """SHA-256 over annotations."""
    return hashlib.sha256(json.dumps(truth.dataset, sort_keys=True).encode()).hexdigest()


def _encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
