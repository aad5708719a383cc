"""Reading of detector configs of mmdet."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from mmengine.config import Config, ConfigDict

from vcm_mt.config_path import config_path
from vcm_mt.errors import ConfigError


class DetectorPlan(NamedTuple):
    """The parts of a detector's config that a task needs.

    Attributes:
        model: Config of the model.
        test_pipeline: Its test pipeline; empty for a model given as a dict.
        masks: Whether it is trained with masks; some box detectors fail if they get any.
    """

    model: ConfigDict
    test_pipeline: list[Any]
    masks: bool


def read_detector(detector: str | dict[str, Any], package: str = "mmdet") -> DetectorPlan:
    """Read a config.

    Args:
        detector: ``mmdet::...`` or ``vcm_mt::...`` name or path of a config, or a dict with the
            model's config itself.
        package: Whose detectors, or other networks, are meant.

    Raises:
        ConfigError: If there is no such config, or it has no detector.
    """
    if isinstance(detector, str):
        if "::" in detector and not detector.startswith((f"{package}::", "vcm_mt::")):
            raise ConfigError(
                f"{detector}: detectors come from {package}::, vcm_mt::, a path, or a dict"
            )
        try:
            config = Config.fromfile(config_path(detector))
        except (OSError, ValueError, ConfigError) as error:
            raise ConfigError(f"no detector config: {error}") from error
        if "model" not in config:
            raise ConfigError(f"{detector} is not the config of a detector: it has no `model`")
        loader = config.get("test_dataloader", {})
        pipeline = config.get("test_pipeline") or loader.get("dataset", {}).get("pipeline", [])
        return DetectorPlan(
            _finished(config.model), pipeline, _loads_masks(config.get("train_dataloader"))
        )
    if "type" not in detector:
        raise ConfigError(f"a detector given as a dict needs the `type` of an {package} model")
    return DetectorPlan(_finished(ConfigDict(detector)), [], True)


def read_segmentor(segmentor: str | dict[str, Any]) -> DetectorPlan:
    """Read the config of a network of mmsegmentation; see :func:`read_detector`."""
    plan = read_detector(segmentor, "mmseg")
    if plan.model.get("data_preprocessor") is None:
        raise ConfigError(f"{plan.model.type} has no data_preprocessor, and so no normalisation")
    return plan


def read_recognizer(recognizer: str | dict[str, Any]) -> DetectorPlan:
    """Read the config of a recogniser of mmaction2.

    Args:
        recognizer: As for :func:`read_detector`; a dict has its ``model`` and ``test_pipeline``.
    """
    if isinstance(recognizer, str):
        return read_detector(recognizer, "mmaction")
    if not {"model", "test_pipeline"} <= set(recognizer):
        raise ConfigError("a recogniser given as a dict needs its `model` and `test_pipeline`")
    model = read_detector(recognizer["model"], "mmaction").model
    return DetectorPlan(model, recognizer["test_pipeline"], False)


class TrackerPlan(NamedTuple):
    """The parts of a tracker's config that a task needs.

    Attributes:
        detector: Its detector, with the tracker's preprocessing of a frame.
        rest: Config of the tracker without the detector.
    """

    detector: DetectorPlan
    rest: ConfigDict


def read_tracker(tracker: str | dict[str, Any]) -> TrackerPlan:
    """Read a tracker's config; see :func:`read_detector`.

    Raises:
        ConfigError: If there is no such config, or it has no tracker.
    """
    plan = read_detector(tracker)
    model = plan.model
    if "detector" not in model or "tracker" not in model:
        raise ConfigError(f"{model.type} is no tracker with a detector: use an MMDetTask for it")
    detector = model.pop("detector")
    model.pop("freeze_detector", None)  # all of it is frozen here
    preprocessor = model.pop("data_preprocessor", None)
    if preprocessor is not None:
        preprocessor.pop("use_det_processor", None)
        detector.data_preprocessor = {**preprocessor, "type": "DetDataPreprocessor"}
    # mmdet loads videos by transforms of their frames inside a TransformBroadcaster.
    steps = [one for step in plan.test_pipeline for one in (step, *step.get("transforms", []))]
    return TrackerPlan(DetectorPlan(_finished(detector), steps, False), model)


def _finished(given: ConfigDict) -> ConfigDict:
    """The model's config without what only its own training needs."""
    model = copy.deepcopy(given)
    drop_pretrained(model)
    model.pop("_scope_", None)
    if "initial_epoch" in (model.get("train_cfg") or {}):
        model.train_cfg.initial_epoch = 0  # TOOD uses another loss in its first epochs
    return model


def _loads_masks(part: Any) -> bool:
    """Whether a pipeline anywhere in this part of a config loads masks."""
    if isinstance(part, dict):
        return bool(part.get("with_mask")) or any(_loads_masks(p) for p in part.values())
    return isinstance(part, list | tuple) and any(_loads_masks(p) for p in part)


def drop_pretrained(config: Any) -> None:
    """Remove pretrained backbones: the detector's checkpoint contains its backbone."""
    if isinstance(config, dict):
        init = config.get("init_cfg")
        if isinstance(init, dict) and init.get("type") == "Pretrained":
            config["init_cfg"] = None
        if isinstance(config.get("pretrained"), str):
            config["pretrained"] = None
        for value in config.values():
            drop_pretrained(value)
    elif isinstance(config, list | tuple):
        for value in config:
            drop_pretrained(value)
