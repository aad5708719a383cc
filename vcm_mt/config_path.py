"""Where configs are: files, and those that this package or another one ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mmengine.config.utils import MODULE2PACKAGE

from vcm_mt.errors import ConfigError

SCOPE = "vcm_mt"
#: Lets configs name this package's as ``_base_ = "vcm_mt::mini/stage1_det.py"``.
MODULE2PACKAGE[SCOPE] = SCOPE


def config_path(name: str | Path) -> Path:
    """Find a config by its path, or by ``PACKAGE::PATH`` among those that a package ships.

    ``mmengine.hub`` finds the same files, but no name without a folder such as
    ``vcm_mt::stage1_det.py``, nor one whose folder holds a ``+``.

    Args:
        name: A path, relative to the working directory; or ``vcm_mt::mini/stage1_det.py``,
            ``mmdet::retinanet/retinanet_r18_fpn_1x_coco.py``.

    Raises:
        ConfigError: When the package is not installed, or there is no such config.
    """
    package, separator, inner = str(name).partition("::")
    if not separator:
        path = Path(name)
    elif package.isidentifier() and (spec := find_spec(package)) and spec.origin:
        path = Path(spec.origin).parent / ".mim" / "configs" / inner
    else:
        raise ConfigError(f"no config {name}: no package {package!r} is installed")
    if not path.is_file():
        raise ConfigError(f"no config at {name}" + (f" ({path})" if separator else ""))
    return path
