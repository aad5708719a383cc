"""Imports all of mmaction2, for ``custom_imports`` of configs that train its networks."""

from vcm_mt.models.tasks.mmaction_import import import_mmaction

import_mmaction()
# isort: split

import mmaction.datasets  # noqa: E402, F401
import mmaction.evaluation  # noqa: E402, F401
