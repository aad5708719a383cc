"""Reading of configs of mmpose's top-down estimators."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.config import Config, ConfigDict

from vcm_mt.config_path import config_path
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks.detector_config import drop_pretrained
from vcm_mt.models.tasks.mmpose_import import import_mmpose, mmpose_scope

_CROPPING = ("GetBBoxCenterScale", "TopdownAffine")


class PosePlan(NamedTuple):
    """The parts of an estimator's config that a task needs.

    Attributes:
        model: Config of the model.
        cropping: The transforms of its test pipeline from a box to the crop's matrix.
        target: The transform that makes its training's targets.
        metainfo: What mmpose knows of its joints; empty where the config does not say.
    """

    model: ConfigDict
    cropping: list[Any]
    target: Any
    metainfo: dict[str, Any]


def read_estimator(estimator: str | dict[str, Any]) -> PosePlan:
    """Read a config.

    Args:
        estimator: ``mmpose::...`` or ``vcm_mt::...`` name or path of a config, or a dict with the
            model's config itself.

    Raises:
        ConfigError: If mmpose is not installed, there is no such config, or it has no top-down
            estimator.
    """
    import_mmpose()
    if not isinstance(estimator, str):
        return _of_model(ConfigDict(estimator))
    if "::" in estimator and not estimator.startswith(("mmpose::", "vcm_mt::")):
        raise ConfigError(
            f"{estimator}: estimators come from mmpose::, vcm_mt::, a path, or a dict"
        )
    try:
        config = Config.fromfile(config_path(estimator))
    except (OSError, ValueError, ConfigError) as error:
        raise ConfigError(f"no estimator config: {error}") from error
    if "model" not in config or "test_dataloader" not in config:
        raise ConfigError(f"{estimator} is not the config of a pose estimator")
    steps = list(_steps(config.test_dataloader.dataset))
    cropping = [step for step in steps if _kind(step) in _CROPPING]
    if [_kind(step) for step in cropping] != list(_CROPPING):
        raise ConfigError(
            f"{estimator} does not estimate poses in crops of boxes: take a top-down estimator"
        )
    wanted = config.get("train_dataloader", {}).get("dataset", {})
    targets = [step for step in _steps(wanted) if _kind(step) == "GenerateTarget"]
    own = _of_model(config.model, cropping)
    target = targets[0] if targets else own.target
    return own._replace(target=target, metainfo=own.metainfo or _metainfo(config))


def _of_model(given: ConfigDict, cropping: list[Any] | None = None) -> PosePlan:
    model = copy.deepcopy(given)
    if _kind(model) != "TopdownPoseEstimator":
        raise ConfigError(
            f"a {model.get('type')} is not supported: take a TopdownPoseEstimator of mmpose"
        )
    drop_pretrained(model)
    model.pop("_scope_", None)
    codec = model.head.get("decoder")
    if codec is None:
        raise ConfigError("the estimator's head has no `decoder`, which says what its joints are")
    target = {"type": "GenerateTarget", "encoder": codec}
    affine = {"type": "TopdownAffine", "input_size": codec.input_size}
    affine["use_udp"] = _kind(codec) == "UDPHeatmap"
    metainfo = _parsed(model.metainfo) if model.get("metainfo") else {}
    return PosePlan(model, cropping or [{"type": _CROPPING[0]}, affine], target, metainfo)


def _metainfo(config: Config) -> dict[str, Any]:
    """What the config's data set, or its class, says of its joints."""
    from mmpose.registry import DATASETS

    dataset = config.test_dataloader.dataset
    if dataset.get("metainfo"):
        return _parsed(dataset.metainfo)
    with mmpose_scope():
        kind = DATASETS.get(dataset.type)
    return _parsed(kind.METAINFO) if getattr(kind, "METAINFO", None) else {}


def _parsed(metainfo: dict[str, Any]) -> dict[str, Any]:
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    with warnings.catch_warnings():  # that it takes the file which mmpose ships
        warnings.simplefilter("ignore")
        parsed: dict[str, Any] = parse_pose_metainfo(metainfo)
    return parsed


def _steps(dataset: Any) -> Iterator[Any]:
    """All transforms of a data set, also of those that it is combined of."""
    yield from dataset.get("pipeline", [])
    for part in dataset.get("datasets", []):
        yield from _steps(part)


def _kind(entry: Any) -> str:
    return str(entry.get("type")).rsplit(".", 1)[-1]
