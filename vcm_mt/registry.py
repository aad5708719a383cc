"""Child registries of mmengine's, searched lazily in the modules under ``locations``."""

import io
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

from mmengine import registry as root
from mmengine.config.utils import MODULE2PACKAGE

from vcm_mt.errors import ConfigError

SCOPE = "vcm_mt"
#: Lets configs name this package's as ``_base_ = "vcm_mt::mini/stage1_det.py"``.
MODULE2PACKAGE[SCOPE] = SCOPE

# mmdet prints, at its first import, that it does without datasets that are not used here.
with redirect_stdout(io.StringIO()) as _said:
    import mmdet.datasets  # noqa: F401
for _line in _said.getvalue().splitlines():
    if "Could not import OneDL" not in _line:
        print(_line)


def _child(name: str, parent: root.Registry, *locations: str) -> root.Registry:
    return root.Registry(
        name, parent=parent, scope=SCOPE, locations=[f"{SCOPE}.{place}" for place in locations]
    )


MODELS = _child(
    "model",
    root.MODELS,
    "models.data_preprocessor",
    "models.tasks",
    "models.vcm_system",
    "models.receiver_system",
)
DATASETS = _child("dataset", root.DATASETS, "datasets.coco", "datasets.folder")
FUNCTIONS = _child("function", root.FUNCTIONS, "datasets.worker")
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "datasets.sampler")
TRANSFORMS = _child(
    "transform",
    root.TRANSFORMS,
    "datasets.loading",
    "datasets.bitstreams",
    "models.tasks.resized_masks",
)
METRICS = _child("metric", root.METRICS, "evaluation.metrics")
MODEL_WRAPPERS = _child("model_wrapper", root.MODEL_WRAPPERS, "engine")
HOOKS = _child("hook", root.HOOKS, "engine")
LOOPS = _child("loop", root.LOOPS, "engine")
OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS, "engine"
)


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
