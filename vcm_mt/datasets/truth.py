"""The annotations that a task is judged by: those of the config's classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError, DataError


def read_truth(path: str, classes: Sequence[str], kinds: Sequence[str], task: str) -> Annotations:
    """Read the annotations of one task; objects of other categories are left out, as in mmdet.

    Args:
        path: COCO annotations.
        classes: The config's classes.
        kinds: The kinds of AP: "bbox", "segm".
        task: The task's name, for errors.

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
    """Whether there is an object other than a crowd; by default in any picture."""
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


def read_tracks(path: str, classes: Sequence[str], task: str) -> Annotations:
    """Read the annotations of a task that follows objects, in COCO-VID's form.

    Raises:
        DataError: When the file can't be used, or its pictures are of no video, or its objects of
            no track.
    """
    truth = Annotations(path, classes)
    wanted = ((truth.imgs, ("video_id", "frame_id")), (truth.anns, ("instance_id",)))
    for entries, names in wanted:
        for number, entry in entries.items():
            if absent := [name for name in names if name not in entry]:
                raise DataError(
                    f"{path}, by which {task} is judged, is not in COCO-VID's form: entry {number} "
                    f"has no {absent[0]}"
                )
    return truth
