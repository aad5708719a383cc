"""Tracking metrics of a tracker, and of one task among several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from vcm_mt.curves.tracks import TRACK_METRICS, by_video, count_tracks, shifted
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.truth import check_labels, read_tracks
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics.coco import CocoJudge
from vcm_mt.metrics.judge import Entry
from vcm_mt.registry import METRICS


@METRICS.register_module()
class TrackMetric(BaseMetric):
    """HOTA, MOTA and IDF1 of a tracker of mmdet, in [0, 1] (MOTA may be negative).

    A track matches objects of its own category; counts are summed over categories and videos.
    Frames come in order and in one process.

    Args:
        ann_file: Annotations in COCO-VID's form.
        prefix: Of the results' names.
        offset: Taken from the tracks' left and top, in pixels, see
            :func:`vcm_mt.curves.tracks.shifted`.
        clear: Count for MOTA as motmetrics and MPEG do, see :mod:`vcm_mt.curves.clear`.
        any_class: Take tracks of all classes for those of the first one, as where persons alone are
            annotated.

    Raises:
        DataError: When the annotations have no tracks.
    """

    #: Whose tracks are judged, for errors.
    judged = "the tracker"

    def __init__(
        self,
        ann_file: str,
        prefix: str | None = None,
        offset: float = 0.0,
        clear: bool = False,
        any_class: bool = False,
    ) -> None:
        super().__init__(prefix=prefix)
        self.offset, self.clear, self.any_class = offset, clear, any_class
        self.ann_file = ann_file
        self._dataset_meta: dict[str, Any] | None = None

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """The dataset's metainfo, with its ``classes``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any]) -> None:
        """Read the annotations."""
        self._dataset_meta = meta
        self._classes: Sequence[str] = meta["classes"]
        self._truth = read_tracks(self.ann_file, self._classes, self.judged)
        self._categories = self._truth.get_cat_ids(self._classes)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep the tracks.

        Raises:
            DataError: When a frame does not follow the one before it in its video.
        """
        for sample in data_samples:
            # mmdet's trackers give a video of one frame, and its data samples as they are.
            frames = [one.to_dict() for one in sample.get("video_data_samples", [])]
            for frame in frames or [sample]:
                self._check_order(frame)
                self.results.append((frame["img_id"], self._entries(frame)))

    def _tracks(self, frame: dict[str, Any]) -> Any:
        return frame["pred_track_instances"]

    def _check_order(self, frame: dict[str, Any]) -> None:
        own = self._truth.imgs.get(frame["img_id"])
        if own is None:
            raise DataError(f"{self.ann_file} has no picture {frame['img_id']}")
        before = self._truth.imgs[self.results[-1][0]] if self.results else None
        place = (own["video_id"], own["frame_id"])
        follows = before and place == (before["video_id"], before["frame_id"] + 1)
        if own["frame_id"] and not follows:
            raise DataError(
                f"{own['file_name']} does not follow the frame that was tracked before it: "
                "validate in one process, with a data set in order"
            )

    def _entries(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        tracks = self._tracks(frame)
        if "instances_id" not in tracks:
            raise ConfigError(f"{self.judged} finds objects and follows none: judge it by its mAP")
        labels = tracks["labels"]
        if self.any_class:
            labels = labels.new_zeros(len(labels))
        check_labels(labels, self._classes, self.judged)
        return [
            {
                "image_id": frame["img_id"],
                "category_id": self._categories[label],
                "instance_id": number,
                "bbox": shifted([left, top, right - left, bottom - top], self.offset),
            }
            for number, label, (left, top, right, bottom) in zip(
                tracks["instances_id"].tolist(),
                labels.tolist(),
                tracks["bboxes"].tolist(),
                strict=True,
            )
        ]

    def evaluate(self, size: int) -> dict[str, float]:  # noqa: ARG002
        """Compute the figures of all frames; mmdet counts videos where ``size`` is asked for."""
        found: dict[str, float] = super().evaluate(len(self.results))
        return found

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Compute the figures over the frames that were processed."""
        frames: dict[Any, list[Any]] = {}
        for number, _ in results:
            frames.setdefault(self._truth.imgs[number]["video_id"], []).append(number)
        videos = list(frames.values())
        found = by_video([one for _, entries in results for one in entries], videos)
        truth = by_video(list(self._truth.anns.values()), videos)
        counts = count_tracks(truth, found, self.clear)
        return {name: float(counts[name].score()[0]) / 100 for name in TRACK_METRICS}


@METRICS.register_module()
class TaskTrackMetric(TrackMetric):
    """The same of a task's tracks in its receiver's pictures.

    Args:
        task: Name of the task; it prefixes the results, as in ``track/HOTA``.
        ann_file: See :class:`TrackMetric`.
        offset: See :class:`TrackMetric`.
        clear: See :class:`TrackMetric`.
        any_class: See :class:`TrackMetric`.
    """

    def __init__(
        self,
        task: str,
        ann_file: str,
        offset: float = 0.0,
        clear: bool = False,
        any_class: bool = False,
    ) -> None:
        super().__init__(ann_file, task, offset, clear, any_class)
        self.judged = task
        self.field = f"pred_{task}"

    def _tracks(self, frame: dict[str, Any]) -> Any:
        return frame[self.field]


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
