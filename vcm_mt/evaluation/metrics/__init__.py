"""Metrics for mmengine's evaluator."""

from vcm_mt.evaluation.metrics.coco import TaskCocoMetric
from vcm_mt.evaluation.metrics.coding import CodingMetric

__all__ = ["CodingMetric", "TaskCocoMetric"]
