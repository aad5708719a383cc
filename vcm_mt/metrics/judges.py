"""Which judge a task has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vcm_mt.errors import ConfigError
from vcm_mt.metrics.action import ActionJudge
from vcm_mt.metrics.coco import CocoJudge
from vcm_mt.metrics.judge import Judge
from vcm_mt.metrics.mpeg_judges import FrameActionJudge, JointsJudge, OpenImagesJudge
from vcm_mt.metrics.pose import PoseJudge
from vcm_mt.metrics.semantic import SemanticJudge
from vcm_mt.metrics.track import TrackJudge

#: By the type of a task's metric.
JUDGES: dict[str, type[Judge]] = {
    "TaskActionMetric": ActionJudge,
    "TaskCocoMetric": CocoJudge,
    "TaskFrameActionMetric": FrameActionJudge,
    "TaskJointsMetric": JointsJudge,
    "TaskOpenImagesMetric": OpenImagesJudge,
    "TaskPoseMetric": PoseJudge,
    "TaskSemanticMetric": SemanticJudge,
    "TaskTrackMetric": TrackJudge,
}


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
