"""Keypoints in COCO's form: what a category says about its joints, and checked annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError, DataError

#: COCO's sigmas of a person's 17 joints (https://cocodataset.org/#keypoints-eval).
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
#: Key in a pipeline's results of the picture's geometry that its keypoints are in.
_MOVED = "keypoints_geometry"
_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


class PoseTruth(NamedTuple):
    """Annotations with keypoints.

    Attributes:
        annotations: Every object has ``keypoints`` and ``num_keypoints``.
        sigmas: How far from each joint an estimate may be, as OKS takes it.
    """

    annotations: Annotations
    sigmas: tuple[float, ...]


def read_poses(
    path: str, classes: Sequence[str], task: str, sigmas: Sequence[float] | None = None
) -> PoseTruth:
    """Read the annotations of a task that finds keypoints.

    Args:
        path: COCO annotations, in the form of its ``person_keypoints``.
        classes: The config's classes.
        task: The task's name, for errors.
        sigmas: By default those that the category lists under that name, or COCO's for 17 joints.

    Raises:
        DataError: When the file can't be used, an object has no keypoints, or another number.
        ConfigError: When there are no sigmas, or of another number.
    """
    truth = Annotations(path, classes)
    categories = truth.dataset["categories"]
    names = joint_names(categories, path)
    for one in truth.anns.values():
        _fill_in(one, len(names), f"{path}, by which {task} is judged,")
    own = sigmas or categories[0].get("sigmas") or (COCO_SIGMAS if len(names) == 17 else ())
    if len(own) != len(names):
        raise ConfigError(
            f"{task} is judged by {len(names)} joints and {len(own)} sigmas: give the metric "
            "`sigmas`, one per joint (https://cocodataset.org/#keypoints-eval)"
        )
    return PoseTruth(truth, tuple(float(value) for value in own))


def joint_names(categories: Sequence[dict[str, Any]], path: str) -> tuple[str, ...]:
    """The names of the joints, which all categories share.

    Raises:
        DataError: If there are none, or categories differ.
    """
    names = shared_joints(categories)
    if names is None:
        raise DataError(
            f"{path}: its categories {', '.join(one['name'] for one in categories)} must list the "
            "same names of joints as `keypoints`, as COCO's person does: is it person_keypoints?"
        )
    return names


def shared_joints(categories: Sequence[dict[str, Any]]) -> tuple[str, ...] | None:
    """The names of the joints that all categories list; ``None`` where there are none."""
    known = {tuple(one.get("keypoints", ())) for one in categories}
    return next(iter(known)) or None if len(known) == 1 else None


def check_keypoints(values: Any, joints: int, whose: str) -> None:
    """Make sure that an object has as many keypoints as its category has joints.

    Args:
        values: x, y and visibility of each, one after the other.
        joints: How many.
        whose: For errors.

    Raises:
        DataError: If they are missing, or another number, or not finite.
    """
    if not isinstance(values, list) or not values:
        raise DataError(f"{whose} has no keypoints: annotate its {joints} joints, x, y, v each")
    if len(values) != 3 * joints:
        raise DataError(
            f"{whose} has {len(values) / 3:g} keypoints, and its category names {joints} joints"
        )
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise DataError(f"{whose} has keypoints that are not finite numbers")


def flip_indices(names: Sequence[str]) -> list[int]:
    """Which joint is where in a mirror image: ``left_knee`` is where ``right_knee`` was.

    Args:
        names: The joints' names; those of pairs differ in the words left and right, or l and r.
    """
    places = {name: place for place, name in enumerate(names)}
    return [places.get(_mirrored(name), place) for place, name in enumerate(names)]


def _mirrored(name: str) -> str:
    return "_".join(_SIDES.get(word, word) for word in name.split("_"))


def load_keypoints(results: dict[str, Any]) -> None:
    """Put a pipeline's ``gt_keypoints`` and ``gt_keypoints_visible`` beside its boxes.

    Args:
        results: The pipeline's results, of a data set that tells its ``joints``.

    Raises:
        DataError: If an object has no keypoints, or another number.
    """
    if "joints" not in results:
        raise DataError(
            f"{results['img_path']} has no keypoints: take annotations whose categories list the "
            "names of joints as `keypoints`, as COCO's person_keypoints do"
        )
    joints = len(results["joints"])
    objects = results.get("instances", [])
    values = np.zeros((len(objects), joints, 3), dtype=np.float32)
    for place, one in enumerate(objects):
        if not one["ignore_flag"]:  # a crowd has none
            check_keypoints(one.get("keypoints"), joints, f"an object of {results['img_path']}")
            values[place] = np.array(one["keypoints"]).reshape(-1, 3)
    results["gt_keypoints"] = values[..., :2]
    results["gt_keypoints_visible"] = np.minimum(values[..., 2], 1)
    results[_MOVED] = _geometry(results)


def flip_keypoints(results: dict[str, Any]) -> None:
    """Flip keypoints as a picture was flipped: a mirror image changes left and right joints."""
    height, width = results["img"].shape[:2]
    direction = results["flip_direction"]
    points, visible = results["gt_keypoints"].copy(), results["gt_keypoints_visible"]
    if direction in ("horizontal", "diagonal"):
        points[..., 0] = width - 1 - points[..., 0]
    if direction in ("vertical", "diagonal"):
        points[..., 1] = height - 1 - points[..., 1]
    if direction != "diagonal":
        order = flip_indices(results["joints"])
        points, visible = points[:, order], visible[:, order]
    results["gt_keypoints"], results["gt_keypoints_visible"] = points, visible
    results[_MOVED] = _geometry(results)


def check_moved(results: dict[str, Any]) -> None:
    """Make sure that keypoints moved with their picture.

    Raises:
        ConfigError: If a transform changed the picture alone.
    """
    if _MOVED in results and results[_MOVED] != _geometry(results):
        raise ConfigError(
            "a transform of the pipeline flipped or resized the picture, and not its keypoints: "
            "flip with vcm_mt.RandomFlip, and leave pictures at their native size"
        )


def _geometry(results: dict[str, Any]) -> tuple[Any, ...]:
    return (*results["img_shape"][:2], results.get("flip_direction"))


def _fill_in(one: dict[str, Any], joints: int, where: str) -> None:
    if one["iscrowd"]:
        one.setdefault("keypoints", [0] * (3 * joints))
    whose = f"{where} has an object, annotation {one['id']}, which"
    check_keypoints(one.get("keypoints"), joints, whose)
    one["num_keypoints"] = sum(value > 0 for value in one["keypoints"][2::3])
