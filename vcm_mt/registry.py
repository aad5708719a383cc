"""Child registries of mmengine's, searched lazily in the modules under ``locations``."""

import io
from contextlib import redirect_stdout

from mmengine import registry as root

from vcm_mt.config_path import SCOPE

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
    "models.temporal_system",
)
DATASETS = _child(
    "dataset", root.DATASETS, "datasets.coco", "datasets.folder", "datasets.clips",
    "datasets.ava",
    "datasets.mixture",
    "datasets.semantic",
)  # fmt: skip
FUNCTIONS = _child("function", root.FUNCTIONS, "datasets.worker", "datasets.clips")
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "datasets.sampler")
TRANSFORMS = _child(
    "transform",
    root.TRANSFORMS,
    "datasets.loading",
    "datasets.semantic",
    "datasets.bitstreams",
    "models.tasks.resized_masks",
)
METRICS = _child("metric", root.METRICS, "metrics")
MODEL_WRAPPERS = _child("model_wrapper", root.MODEL_WRAPPERS, "engine")
HOOKS = _child("hook", root.HOOKS, "engine")
LOOPS = _child("loop", root.LOOPS, "engine")
OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS, "engine"
)
