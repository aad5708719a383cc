"""The config of stage 2: one receiver for some of its tasks, and the data to train on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from vcm_mt.errors import ConfigError

_OF_ANNOTATIONS = {"LoadAnnotations", "LoadTrackAnnotations", "ResizeMasks"}
_WITHOUT_PICTURES = _OF_ANNOTATIONS | {"PackDetInputs", "PackPoses"}
#: Transforms after which a stored bitstream is still the picture's; mirror images are stored too.
_HARMLESS = _WITHOUT_PICTURES | {"LoadPicture", "RandomFlip"}
#: MiB of feature maps of original pictures that a task keeps in memory.
_REMEMBER = 1024


def receiver_name(tasks: Sequence[str]) -> str:
    """Name of the receiver for these tasks, such as ``det+segm``."""
    return "+".join(tasks)


def for_tasks(config: Config, names: Sequence[str]) -> Config:
    """Copy of a config with one receiver for some of its ``tasks``, and their data and metrics.

    Raises:
        ConfigError: When the config has no such task.
    """
    known = config.get("tasks", {})
    if not names:
        raise ConfigError(f"{config.filename} names no task: say --task, {' or '.join(known)}")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"{config.filename} has no task {', '.join(unknown)}, but {', '.join(known) or 'none'}"
        )
    chosen = copy.deepcopy(config)
    receiver = receiver_name(names)
    chosen.model.tasks = ConfigDict({name: {**known[name], "receiver": receiver} for name in names})
    if not any(_needs_annotations(task) for task in chosen.model.tasks.values()):
        dataset = chosen.train_dataloader.dataset
        if _kind(dataset) == "ClipDataset":
            dataset = dataset.dataset
        dataset.pipeline = [step for step in dataset.pipeline if _kind(step) != "LoadAnnotations"]
    chosen.val_evaluator = _evaluators(config.evaluators, names)
    judges = config.get("test_evaluators", config.evaluators)
    chosen.test_evaluator = _evaluators(judges, names)
    return chosen


def _evaluators(judges: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """The rate and fidelity, and what judges the tasks."""
    return [dict(type="CodingMetric"), *(judges[name] for name in names if name in judges)]


def use_pictures(config: Config, train: Path, val: Path | None = None) -> None:
    """Train on a folder of pictures without annotations, and validate on one if given.

    Where the config trains on clips, they are of pictures that follow each other in a folder.

    Validation on such a folder measures rate and fidelity alone: tasks are judged by annotations.

    Raises:
        ConfigError: When a task needs annotations.
    """
    tasks = config.model.tasks
    learned = [name for name, task in tasks.items() if _needs_annotations(task)]
    if learned:
        raise ConfigError(
            f"task {', '.join(learned)} needs annotations: --pictures is for human viewers, "
            'and for detectors with truth="own", or loss_weight=0 and feature_background=1'
        )
    if val:
        config.val_evaluator = config.test_evaluator = [dict(type="CodingMetric")]
    for loader, folder in (("train", train), ("val", val), ("test", val)):
        if folder is None:
            continue
        place = config[f"{loader}_dataloader"]
        if _kind(place.dataset) == "ClipDataset":  # clips of the folder's films
            place = place.dataset
            place.pop("around", None)  # no frame is labelled
        pipeline = [s for s in place.dataset.pipeline if _kind(s) not in _OF_ANNOTATIONS]
        place.dataset = ConfigDict(type="PictureFolder", data_root=str(folder), pipeline=pipeline)


def use_bitstreams(config: Config, folder: Path, checkpoint: Path) -> tuple[Path, bool]:
    """Change a config so that training reads bitstreams instead of running the encoder.

    Original pictures are loaded only where a task compares with them; a detector's feature maps of
    them are kept in memory.

    Args:
        config: Of stage 2; changed in place.
        folder: Where the bitstreams are.
        checkpoint: Of the stage 1 that codes them.

    Returns:
        The folder above the pictures, and whether mirror images must be coded as well.

    Raises:
        ConfigError: When the pipeline changes pictures in another way than by mirroring, or the
            training is on clips.
    """
    dataset = config.train_dataloader.dataset
    if _kind(dataset) == "ClipDataset":
        raise ConfigError("clips are not trained on from bitstreams: leave --from-bitstreams out")
    kinds = [_kind(step) for step in dataset.pipeline]
    foreign = [kind for kind in kinds if kind not in _HARMLESS]
    foreign += [
        "RandomFlip in another direction than horizontal"
        for step in dataset.pipeline
        if step.get("direction", "horizontal") not in ("horizontal", ["horizontal"])
    ]
    if foreign:
        raise ConfigError(f"{', '.join(foreign)} changes the bits: remove it from the pipeline")
    prefix = dataset.get("data_prefix", {}).get("img", "")
    root = Path(dataset.get("data_root") or "") / prefix
    tasks = config.model.tasks.values()
    compared = any(
        _kind(task) == "HumanTask" or task.get("feature_weight") or task.get("truth") == "own"
        for task in tasks
    )
    for task in tasks:
        if task.get("feature_weight") and _kind(task) != "MMPoseTask":
            task.setdefault("remember", _REMEMBER)
    mirrored = compared and "RandomFlip" in kinds
    load = dict(
        type="LoadBitstream", folder=str(folder), root=str(root), transmitter=str(checkpoint)
    )
    steps = [step for step in dataset.pipeline if compared or _kind(step) in _WITHOUT_PICTURES]
    at = len(steps) - 1 if compared else 0
    # Keys of the latent, and those by which a picture's feature maps are found again.
    keys = dict.fromkeys([*steps[-1]["meta_keys"], "y_hat", "img_path", "flip"])
    pack = {**steps[-1], "meta_keys": tuple(keys)}
    dataset.pipeline = [*steps[:at], load, *steps[at:-1], pack]
    return root, mirrored


def _needs_annotations(task: Any) -> bool:
    """Whether a task needs annotations: a detector does, unless it is its own truth.

    One that compares feature maps alone has no loss that needs any. An estimator of poses needs
    boxes also then.
    """
    if _kind(task) == "MMPoseTask":
        return task.get("truth") != "own" or task.get("boxes", "truth") == "truth"
    maps_alone = task.get("loss_weight") == 0 and task.get("feature_background", 1) == 1
    alone = maps_alone or task.get("truth") == "own"
    return _kind(task) != "HumanTask" and not alone


def _kind(entry: Any) -> str:
    return str(entry["type"]).rsplit(".", 1)[-1]
