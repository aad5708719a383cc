"""Imports mmpose when it is imported: for ``custom_imports`` of configs."""

from vcm_mt.models.tasks.mmpose_import import import_mmpose

import_mmpose()
