"""mmdet's COCO metric for one task among several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.evaluation import CocoMetric

from vcm_mt.errors import DataError
from vcm_mt.registry import METRICS


@METRICS.register_module()
class TaskCocoMetric(CocoMetric):
    """COCO mAP of what a task found in its receiver's pictures.

    Args:
        task: Name of the task; it prefixes the results, as in ``det/bbox_mAP``.
        **kwargs: Arguments of :class:`mmdet.evaluation.CocoMetric`.
    """

    def __init__(self, task: str, **kwargs: Any) -> None:
        super().__init__(prefix=task, **kwargs)
        self.field = f"pred_{task}"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Show mmdet's metric this task's predictions."""
        own = [{**sample, "pred_instances": sample[self.field]} for sample in data_samples]
        super().process(data_batch, own)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Mmdet's figures; 0 where nothing was found at all.

        Raises:
            DataError: When there is no object to be found, so that there is no score.
        """
        found = super().compute_metrics(results)
        if self._coco_api is not None and not self._coco_api.getAnnIds(catIds=self.cat_ids):
            raise DataError(
                f"{self.prefix} cannot be judged: its annotations hold no object of its classes"
            )
        return found or {f"{metric}_mAP": 0.0 for metric in self.metrics}
