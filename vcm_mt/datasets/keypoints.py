"""Keypoints in COCO's form: what a category says about its joints, and checked annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError, DataError

#: COCO's sigmas of a person's 17 joints (https://cocodataset.org/#keypoints-eval).
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
_SIDES = {"left": "right", "right": "left"}


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
    known = {tuple(one.get("keypoints", ())) for one in categories}
    if len(known) != 1 or () in known:
        raise DataError(
            f"{path}: its categories {', '.join(one['name'] for one in categories)} must list the "
            "same names of joints as `keypoints`, as COCO's person does: is it person_keypoints?"
        )
    names: tuple[str, ...] = next(iter(known))
    return names


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
        names: The joints' names; those of pairs differ in the words left and right.
    """
    places = {name: place for place, name in enumerate(names)}
    return [places.get(_mirrored(name), place) for place, name in enumerate(names)]


def _mirrored(name: str) -> str:
    return "_".join(_SIDES.get(word, word) for word in name.split("_"))


def _fill_in(one: dict[str, Any], joints: int, where: str) -> None:
    if one["iscrowd"]:
        one.setdefault("keypoints", [0] * (3 * joints))
    whose = f"{where} has an object, annotation {one['id']}, which"
    check_keypoints(one.get("keypoints"), joints, whose)
    one["num_keypoints"] = sum(value > 0 for value in one["keypoints"][2::3])
