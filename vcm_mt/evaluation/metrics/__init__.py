"""Metrics for mmengine's evaluator."""

from vcm_mt import registry  # noqa: F401  before mmdet, which it keeps from printing
from vcm_mt.evaluation.metrics.coco import CheckedCocoMetric, TaskCocoMetric
from vcm_mt.evaluation.metrics.coding import CodingMetric

__all__ = ["CheckedCocoMetric", "CodingMetric", "TaskCocoMetric"]
