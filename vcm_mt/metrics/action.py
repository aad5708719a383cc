"""How often the likeliest action is the true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from vcm_mt.curves.counts import Counts
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.truth import check_picture
from vcm_mt.errors import DataError
from vcm_mt.metrics.judge import Entry, Judge, digest_of
from vcm_mt.registry import METRICS


@METRICS.register_module()
class TaskActionMetric(BaseMetric):
    """Top-1 accuracy of a task's actions over videos, in [0, 1].

    A video's action is predicted with its last frame, so that frames come in order and in one
    process.

    Args:
        task: Name of the task; it prefixes the result, as in ``action/top1``.
        ann_file: Annotations in COCO-VID's form, with ``actions`` and each video's ``action_id``.
    """

    def __init__(self, task: str, ann_file: str) -> None:
        super().__init__(prefix=task)
        self.ann_file = ann_file
        self.field = f"pred_{task}"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep whether a video's action is right.

        Raises:
            DataError: When a video has no action.
        """
        for sample in data_samples:
            if self.field in sample:
                found = int(sample[self.field]["labels"][0])
                self.results.append(found == true_action(sample))

    def evaluate(self, size: int) -> dict[str, float]:  # noqa: ARG002
        """Compute the figure over videos; ``size`` is the number of frames."""
        found: dict[str, float] = super().evaluate(len(self.results))
        return found

    def compute_metrics(self, results: list[bool]) -> dict[str, float]:
        """Compute the accuracy; NaN without a whole video."""
        return {"top1": sum(results) / len(results) if results else float("nan")}


def true_action(sample: Any) -> int:
    """The class of a data sample's video.

    Raises:
        DataError: When it has none.
    """
    action = sample.get("action")
    if action is None:
        raise DataError(
            f"{sample.get('img_path')} is of no action to judge by: its annotations need `actions` "
            "and each video's action_id, and its pipeline vcm_mt.PackFrame"
        )
    return int(action)


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
