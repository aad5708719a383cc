"""MPEG's metrics for mmengine's evaluator, each by the judge that scores it in an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.structures import InstanceData

from vcm_mt.metrics.judges import Judge
from vcm_mt.metrics.mpeg_judges import FrameActionJudge, JointsJudge, OpenImagesJudge
from vcm_mt.registry import METRICS


class JudgedMetric(BaseMetric):
    """The main score of a judge, in [0, 1].

    Args:
        task: Name of the task; it prefixes the result, as in ``det/oiAP``.
        ann_file: Annotations of these pictures.
        **settings: What else its judge reads.
    """

    judge_type: type[Judge]

    def __init__(self, task: str, ann_file: str, **settings: Any) -> None:
        super().__init__(prefix=task)
        self.task = task
        self._config = ConfigDict(ann_file=ann_file, **settings)
        self._dataset_meta: dict[str, Any] | None = None

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """The dataset's metainfo, with its ``classes``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any]) -> None:
        """Read the annotations, before anything is encoded."""
        self._dataset_meta = meta
        self._judge = self.judge_type(self.task, self._config, meta["classes"])

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep this task's predictions.

        Raises:
            DataError: When a picture is not among the annotated ones.
        """
        for sample in data_samples:
            number = sample["img_id"]
            self._judge.check({"img_id": number, "img_path": sample.get("img_path", "")})
            told = sample.get(f"pred_{self.task}")  # none of a task that tells it later
            found = None if told is None else InstanceData(**told)
            self.results.append((number, self._judge.entries(number, found, sample)))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Score the pictures that were processed."""
        entries = [one for _, own in results for one in own]
        scores = self._judge.scores(entries, [[number] for number, _ in results])
        main = scores[f"{self.task}_{self._judge.main}"]
        return {self._judge.main: float(main.score()[0]) / 100}


@METRICS.register_module()
class TaskOpenImagesMetric(JudgedMetric):
    """OpenImages' challenge AP (``oiAP``); ``metric`` is "bbox" or "segm"."""

    judge_type = OpenImagesJudge


@METRICS.register_module()
class TaskJointsMetric(JudgedMetric):
    """AP by object keypoint similarity on HiEve's 14 joints (``mAP``)."""

    judge_type = JointsJudge


@METRICS.register_module()
class TaskFrameActionMetric(JudgedMetric):
    """Frame mAP of actions (``fmAP``)."""

    judge_type = FrameActionJudge
