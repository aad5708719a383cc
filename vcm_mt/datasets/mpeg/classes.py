"""Class names of MPEG's data sets, as COCO spells them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vcm_mt.errors import DataError

#: COCO's 80 classes, in the order in which networks number them; SFU's labels are these numbers.
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

#: Those of COCO's classes that MPEG's part of OpenImages v6 is labelled with.
OPENIMAGES = (
    "airplane", "apple", "backpack", "bird", "boat", "book", "bottle", "bowl", "broccoli", "bus",
    "cake", "car", "carrot", "cat", "cell phone", "clock", "couch", "cow", "cup", "dog", "donut",
    "elephant", "giraffe", "handbag", "horse", "keyboard", "knife", "laptop", "motorcycle",
    "orange", "person", "pizza", "sandwich", "sheep", "skateboard", "spoon", "sports ball",
    "suitcase", "surfboard", "tennis racket", "tie", "toilet", "traffic light", "train", "truck",
    "vase", "zebra",
)  # fmt: skip

#: FLIR's classes that MPEG judges, and those that FLIR labels besides.
FLIR, FLIR_OTHER = ("person", "bicycle", "car"), ("dog", "other vehicle")

#: HiEve's joints and actions, in its order; actions count from 1 there.
JOINTS = (
    "Nose", "Chest", "Right-shoulder", "Right-elbow", "Right-wrist", "Left-shoulder",
    "Left-elbow", "Left-wrist", "Right-hip", "Right-knee", "Right-ankle", "Left-hip", "Left-knee",
    "Left-ankle",
)  # fmt: skip
ACTIONS = (
    "walking-alone", "walking-together", "running-alone", "running-together", "riding",
    "sitting-talking", "sitting-alone", "queuing", "standing-alone", "gathering", "fighting",
    "fall-over", "walking-up-down-stairs", "crouching-bowing",
)  # fmt: skip


def plain_name(name: str) -> str:
    """A class name as COCO spells it: ``cell_phone`` and ``Cell phone`` are ``cell phone``."""
    return " ".join(name.lower().replace("_", " ").split())


def known_name(name: Any, known: Iterable[str], place: str | Path) -> str:
    """A class name as COCO spells it.

    Raises:
        DataError: When it is none of ``known``.
    """
    plain = plain_name(str(name))
    if plain not in known:
        raise DataError(f"{place}: unknown class {name!r}: it is none of {', '.join(known)}")
    return plain


def categories(names: Iterable[str]) -> list[dict[str, Any]]:
    """COCO's list of categories, numbered from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
