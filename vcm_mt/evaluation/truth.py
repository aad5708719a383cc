"""What a task is judged by: the annotations of the config's classes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError, DataError


def read_truth(path: str, classes: Sequence[str], kinds: Sequence[str], task: str) -> Annotations:
    """The truth of one task, as mmdet judges by it: objects of other categories do not count.

    Args:
        path: COCO annotations.
        classes: Of the config.
        kinds: What is judged: "bbox", "segm".
        task: Its name, for errors.

    Raises:
        DataError: When the file can't be used, or masks are judged and objects have none.
    """
    truth = Annotations(path, classes)
    if "segm" in kinds and (bare := truth.without_mask()):
        raise DataError(
            f"{path}, by whose masks {task} is judged, has no mask for {len(bare)} of its "
            f"{len(truth.anns)} objects (annotation {', '.join(map(str, bare[:3]))}"
            f"{', ...' if len(bare) > 3 else ''}): give each a segmentation of its picture's "
            'size, or judge boxes with metric="bbox"'
        )
    return truth


def has_objects(truth: Annotations, pictures: Sequence[Any] | None = None) -> bool:
    """Whether there is an object to be found, which a crowd is not; by default in any picture."""
    wanted = truth.imgs.keys() if pictures is None else set(pictures)
    return any(not one["iscrowd"] and one["image_id"] in wanted for one in truth.anns.values())


def check_picture(truth: Annotations, path: str, task: str, number: Any, picture: str) -> None:
    """Make sure that a picture is judged by its own annotations.

    Args:
        truth: Of the task.
        path: Its file.
        task: Its name.
        number: The picture's ``img_id`` in the data set.
        picture: Its file.

    Raises:
        DataError: When the truth has no picture of that number, or another one.
    """
    known = truth.imgs.get(number, {}).get("file_name", "")
    if Path(known).name != Path(picture).name:
        raise DataError(
            f"{path}, by which {task} is judged, does not have {picture} under its number "
            f"{number}: set the evaluator's ann_file to the test pictures' own"
        )


def check_labels(labels: Tensor, classes: Sequence[str], task: str) -> None:
    """Make sure that there is a class of the config for whatever a task found.

    Args:
        labels: int64 [n], numbers of classes from 0 on.
        classes: Of the config.
        task: Its name.

    Raises:
        ConfigError: When there is none.
    """
    if len(labels) and (highest := int(labels.max())) >= len(classes):
        raise ConfigError(
            f"{task} finds things of class number {highest}, and the test pictures' "
            f"metainfo.classes names {len(classes)}: name those that the network was trained for"
        )
