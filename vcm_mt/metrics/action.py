"""How often the likeliest action is the true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from vcm_mt.errors import DataError
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
