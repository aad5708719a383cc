"""Metrics for mmengine's evaluator."""

from vcm_mt import registry  # noqa: F401  before mmdet, which it keeps from printing
from vcm_mt.metrics.action import TaskActionMetric
from vcm_mt.metrics.coco import CheckedCocoMetric, TaskCocoMetric
from vcm_mt.metrics.coding import CodingMetric
from vcm_mt.metrics.mpeg import TaskFrameActionMetric, TaskJointsMetric, TaskOpenImagesMetric
from vcm_mt.metrics.pose import PoseMetric, TaskPoseMetric
from vcm_mt.metrics.semantic import SemanticMetric, TaskSemanticMetric
from vcm_mt.metrics.track import TaskTrackMetric, TrackMetric

__all__ = [
    "CheckedCocoMetric",
    "CodingMetric",
    "PoseMetric",
    "SemanticMetric",
    "TaskActionMetric",
    "TaskCocoMetric",
    "TaskFrameActionMetric",
    "TaskJointsMetric",
    "TaskOpenImagesMetric",
    "TaskPoseMetric",
    "TaskSemanticMetric",
    "TaskTrackMetric",
    "TrackMetric",
]
