"""Metrics for mmengine's evaluator."""

from vcm_mt.evaluation.metrics.coding import CodingMetric
from vcm_mt.evaluation.metrics.coco import TaskCocoMetric

__all__ = ["CodingMetric", "TaskCocoMetric"]
