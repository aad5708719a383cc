"""The import of mmaction2, whose last release does not import beside today's packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import mmcv

from vcm_mt.errors import ConfigError

_INSTALL = "pip install --no-deps mmaction2==1.2.0 einops 'importlib_metadata<9' zipp"
#: What mmaction2 1.2.0 checks for: below 2.2.
_MMCV = "2.1.0"


def import_mmaction() -> Any:
    """Import mmaction2 with its models, and return the package.

    Two mends of version 1.2.0: it refuses mmcv 2.2 and later, with which it works; and its wheel
    lacks a folder (``localizers/drn``) that its models import, and no recogniser uses.

    Raises:
        ConfigError: If it is not installed, or does not import; the message has the command.
    """
    try:
        with _as_old_mmcv():
            import mmaction
        if "mmaction.models" not in sys.modules:
            _add_missing_folder()
            import mmaction.models
    except (ImportError, AssertionError) as error:
        raise ConfigError(f"action recognition needs mmaction2 ({error}): {_INSTALL}") from error
    return mmaction


@contextmanager
def _as_old_mmcv() -> Iterator[None]:
    kept = mmcv.__version__
    mmcv.__version__ = _MMCV
    try:
        yield
    finally:
        mmcv.__version__ = kept


def _add_missing_folder() -> None:
    for name in ("mmaction.models.localizers.drn", "mmaction.models.localizers.drn.drn"):
        module = ModuleType(name)
        module.__path__ = []
        module.__dict__["DRN"] = type("DRN", (), {})
        sys.modules[name] = module
