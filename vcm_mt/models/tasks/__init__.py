"""Frozen machine-vision networks (MVNet) and the human viewer, behind one interface."""

from vcm_mt.models.tasks.base import Task, named_tasks
from vcm_mt.models.tasks.human import HumanTask
from vcm_mt.models.tasks.mmdet_task import MMDetTask

__all__ = ["HumanTask", "MMDetTask", "Task", "named_tasks"]
