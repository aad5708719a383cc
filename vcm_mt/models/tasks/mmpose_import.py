"""Import of mmpose, which is optional and installed without its own requirements.

Of these, chumpy does not build and xtcocotools has no wheels for current Pythons. mmpose uses
xtcocotools as a copy of pycocotools, which takes its place here. Configs that mmengine runs by
itself import mmpose through this module with ``custom_imports``.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mmengine.registry import DefaultScope

from vcm_mt.errors import ConfigError

INSTALL = "pip install --no-deps mmpose==1.3.2 munkres"
_PARTS = ("models", "codecs", "datasets", "evaluation")
_STOOD_IN_FOR = ("", ".coco", ".cocoeval", ".mask")


def import_mmpose() -> None:
    """Import mmpose and register what it has.

    Raises:
        ConfigError: If it is not installed, with the command that installs it.
    """
    if find_spec("mmpose") is None:
        raise ConfigError(f"pose estimators need mmpose, which is not installed: {INSTALL}")
    if find_spec("xtcocotools") is None:
        for name in _STOOD_IN_FOR:
            sys.modules.setdefault(f"xtcocotools{name}", import_module(f"pycocotools{name}"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for part in _PARTS:
                import_module(f"mmpose.{part}")
    except ImportError as error:
        raise ConfigError(
            f"mmpose, which pose estimators need, cannot be imported ({error}): {INSTALL}"
        ) from error


def mmpose_scope() -> AbstractContextManager[Any]:
    """Look up modules that an estimator builds while it runs in mmpose's registry."""
    scope: AbstractContextManager[Any] = DefaultScope.overwrite_default_scope("mmpose")
    return scope
