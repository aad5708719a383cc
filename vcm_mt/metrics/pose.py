"""Keypoint AP of a pose estimator, and of one task among several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from vcm_mt.curves.matches import Matches
from vcm_mt.curves.sizes import further_scores
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.keypoints import read_poses
from vcm_mt.datasets.truth import check_labels, check_picture
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics.coco import CocoJudge
from vcm_mt.metrics.judge import Entry
from vcm_mt.models.tasks.pose_results import pose_scores
from vcm_mt.registry import METRICS


@METRICS.register_module()
class PoseMetric(BaseMetric):
    """COCO's AP by object keypoint similarity (OKS) of an estimator of mmpose, in [0, 1].

    A pose counts with its box's score times the mean of its joints' scores above 0.2, as in mmpose.

    Args:
        ann_file: COCO annotations with keypoints.
        sigmas: See :func:`vcm_mt.datasets.keypoints.read_poses`.
        prefix: Of the results' names.

    Raises:
        DataError: When the annotations have no keypoints, or no object with any.
    """

    #: Whose poses are judged, for errors.
    judged = "the estimator"

    def __init__(
        self, ann_file: str, sigmas: Sequence[float] | None = None, prefix: str | None = None
    ) -> None:
        super().__init__(prefix=prefix)
        self.ann_file, self._sigmas = ann_file, sigmas
        self._dataset_meta: dict[str, Any] | None = None

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """The dataset's metainfo, with its ``classes``; of all categories where it names none."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any]) -> None:
        """Read the annotations."""
        self._dataset_meta = meta
        self._classes: Sequence[str] = meta.get("classes") or ()
        self._truth = read_poses(self.ann_file, self._classes, self.judged, self._sigmas)
        truth = self._truth.annotations
        self._categories = truth.get_cat_ids(self._classes)
        if not any(one["num_keypoints"] for one in truth.anns.values()):
            raise DataError(f"{self.judged} cannot be judged: {self.ann_file} has no keypoints")

    def check_pictures(self, dataset: Any) -> None:
        """Make sure that the annotations are those of a dataset's pictures.

        Raises:
            DataError: When they are of other pictures.
        """
        for index in range(len(dataset)):
            self._check(dataset.get_data_info(index))

    def _check(self, one: dict[str, Any]) -> None:
        truth = self._truth.annotations
        check_picture(truth, self.ann_file, self.judged, one["img_id"], one["img_path"])

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep the poses."""
        for sample in data_samples:
            self._check(sample)
            self.results.append((sample["img_id"], self._entries(sample)))

    def _entries(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        poses = sample["pred_instances"]
        scores = pose_scores(poses["keypoint_scores"], poses["bbox_scores"])
        categories = [sample.get("category_id", self._categories[0])] * len(scores)
        return self._as_coco(sample, poses, scores, categories)

    def _as_coco(
        self, sample: dict[str, Any], poses: Any, scores: Any, categories: Sequence[Any]
    ) -> list[dict[str, Any]]:
        check_joints(poses["keypoints"], self._truth.sigmas, self.judged)
        found = zip(
            flat_keypoints(poses["keypoints"], poses["keypoint_scores"]),
            np.asarray(scores, dtype=np.float64).tolist(),
            categories,
            strict=True,
        )
        return [
            {
                "image_id": sample["img_id"],
                "category_id": int(category),
                "score": score,
                "keypoints": points,
            }
            for points, score, category in found
        ]

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Compute the AP over the pictures that were processed."""
        entries = [one for _, found in results for one in found]
        numbers = list(dict.fromkeys(number for number, _ in results))
        truth, sigmas = self._truth
        matches = Matches.of(truth, entries, "keypoints", numbers, sigmas)
        return {"keypoints_mAP": float(matches.average_precision()[0]) / 100}


@METRICS.register_module()
class TaskPoseMetric(PoseMetric):
    """The same of a task's poses in its receiver's pictures.

    Args:
        task: Name of the task; it prefixes the results, as in ``pose/keypoints_mAP``.
        ann_file: See :class:`PoseMetric`.
        sigmas: See :class:`PoseMetric`.
    """

    def __init__(self, task: str, ann_file: str, sigmas: Sequence[float] | None = None) -> None:
        super().__init__(ann_file, sigmas, prefix=task)
        self.judged = task
        self.field = f"pred_{task}"

    def _entries(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        poses = sample[self.field]
        check_poses(poses, self.judged)
        check_labels(poses["labels"], self._classes, self.judged)
        categories = [self._categories[label] for label in poses["labels"].tolist()]
        return self._as_coco(sample, poses, poses["scores"].tolist(), categories)


def flat_keypoints(keypoints: Any, scores: Any) -> list[list[float]]:
    """Keypoints [n, K, 2] and their scores [n, K] as COCO's results list them, [n][3 K]."""
    points = np.asarray(keypoints, dtype=np.float64)[..., :2]
    flat = np.concatenate([points, np.asarray(scores, dtype=np.float64)[..., None]], axis=-1)
    return [own.ravel().tolist() for own in flat]


def check_poses(found: Any, task: str) -> None:
    """Make sure that a task predicts keypoints.

    Raises:
        ConfigError: When it does not.
    """
    if "keypoints" not in found:
        raise ConfigError(f"{task} finds no keypoints: judge it by another metric")


def check_joints(keypoints: Any, sigmas: Sequence[float], task: str) -> None:
    """Make sure that a task's joints are those of the annotations.

    Raises:
        ConfigError: When it finds another number.
    """
    if len(keypoints) and keypoints.shape[1] != len(sigmas):
        raise ConfigError(
            f"{task} finds {keypoints.shape[1]} joints, and its annotations have {len(sigmas)}: "
            "take an estimator that was trained for these"
        )


class PoseJudge(CocoJudge):
    """COCO's average precision of keypoints."""

    def _kind(self, metric: Any) -> str:
        self._given = metric.get("sigmas")
        return "keypoints"

    def _read(self) -> Annotations:
        truth, self.sigmas = read_poses(self.ann_file, self.classes, self.task, self._given)
        return truth

    def _add(self, entries: list[Entry], found: Any) -> None:
        check_poses(found, self.task)
        check_joints(found.keypoints, self.sigmas, self.task)
        points = flat_keypoints(found.keypoints.cpu(), found.keypoint_scores.cpu())
        for entry, own in zip(entries, points, strict=True):
            del entry["bbox"]  # COCO takes a pose's area from its keypoints
            entry["keypoints"] = own

    def _matches(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> Matches:
        return Matches.of(self.truth, entries, self.kind, numbers, self.sigmas)

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:
        """AP50, AP75, and AP by size."""
        return further_scores(self.truth, entries, self.kind, numbers, self.sigmas)
