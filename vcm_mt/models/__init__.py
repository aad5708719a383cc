"""Transmitter, receivers, tasks, and the system that joins them."""

from vcm_mt.models.data_preprocessor import VCMDataPreprocessor
from vcm_mt.models.tasks import HumanTask, MMDetTask
from vcm_mt.models.vcm_system import VCMSystem

__all__ = ["HumanTask", "MMDetTask", "VCMDataPreprocessor", "VCMSystem"]
