"""Frozen machine-vision networks (MVNet) and the human viewer, behind one interface."""

from vcm_mt.models.tasks.base import Task, named_tasks
from vcm_mt.models.tasks.human import HumanTask
from vcm_mt.models.tasks.mmaction_persons_task import MMActionPersonsTask
from vcm_mt.models.tasks.mmaction_task import MMActionTask
from vcm_mt.models.tasks.mmdet_task import MMDetTask
from vcm_mt.models.tasks.mmpose_task import MMPoseTask
from vcm_mt.models.tasks.mmseg_task import MMSegTask
from vcm_mt.models.tasks.mmtrack_task import MMTrackTask

__all__ = [
    "HumanTask",
    "MMActionPersonsTask",
    "MMActionTask",
    "MMDetTask",
    "MMPoseTask",
    "MMSegTask",
    "MMTrackTask",
    "Task",
    "named_tasks",
]
