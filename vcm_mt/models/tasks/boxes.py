"""Where the boxes come from in which a network looks: annotations, a file, or a detector."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.mmdet_task import MMDetTask

#: Called with a picture [1, 3, H, W] and its data sample for ``bboxes``, ``scores`` and ``labels``.
Boxes = Callable[[Tensor, Any], InstanceData]


def make_boxes(given: str | dict[str, Any], of_truth: Boxes) -> Boxes:
    """The source of boxes that a config names; see :class:`.MMPoseTask`.

    Args:
        given: What the config says.
        of_truth: The source of the annotated boxes, for ``"truth"``.

    Raises:
        ConfigError: If there is no such source.
        DataError: If its file cannot be used.
    """
    if given == "truth":
        return of_truth
    if given == "given":
        return of_sample
    if isinstance(given, dict) and "file" in given:
        return FileBoxes(**given)
    if isinstance(given, dict) and "detector" in given:
        return DetectorBoxes(**given)
    raise ConfigError(
        f'boxes are "truth", "given", dict(file=...) or dict(detector=...), not {given!r}'
    )


def of_sample(picture: Tensor, data_sample: Any) -> InstanceData:
    """The boxes in ``proposals`` of a data sample.

    Raises:
        DataError: If there are none.
    """
    given = data_sample.get("proposals")
    if given is None:
        raise DataError(
            f"picture {data_sample.metainfo.get('img_path')} comes without boxes: give its data "
            "sample `proposals`, or let boxes of this task come from a detector or a file"
        )
    boxes = get_box_tensor(given.bboxes).to(picture)
    scores = given.get("scores", boxes.new_ones(len(boxes)))
    labels = given.get("labels", torch.zeros(len(boxes), dtype=torch.int64))
    return InstanceData(bboxes=boxes, scores=scores.to(picture), labels=labels.to(picture.device))


class FileBoxes:
    """Boxes of a file of detections in COCO's result format.

    Args:
        file: The file.
        category: The category of the detections that are taken.
        score: Their lowest score.

    Raises:
        DataError: If it cannot be used.
    """

    def __init__(self, file: str, category: int = 1, score: float = 0.0) -> None:
        self._found: dict[Any, list[list[float]]] = defaultdict(list)
        try:
            for one in json.loads(Path(file).read_bytes()):
                if one["category_id"] == category and one["score"] >= score:
                    left, top, width, height = one["bbox"]
                    box = [left, top, left + width, top + height, one["score"]]
                    self._found[one["image_id"]].append(box)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file} does not hold detections in COCO's result format "
                f"({type(error).__name__}: {error})"
            ) from error

    def __call__(self, picture: Tensor, data_sample: Any) -> InstanceData:
        """Those of a picture, by its ``img_id``."""
        found = self._found.get(data_sample.metainfo.get("img_id"), [])
        boxes = picture.new_tensor(found).view(-1, 5)
        labels = torch.zeros(len(boxes), dtype=torch.int64, device=picture.device)
        return InstanceData(bboxes=boxes[:, :4], scores=boxes[:, 4], labels=labels)


class DetectorBoxes(nn.Module):
    """Boxes that a detector finds in the decoded picture.

    Args:
        label: The detector's class whose boxes are taken.
        score: Their lowest score.
        **detector: Arguments of :class:`.MMDetTask`.
    """

    def __init__(self, label: int = 0, score: float = 0.05, **detector: Any) -> None:
        super().__init__()
        self.label, self.score = label, score
        self.detector = MMDetTask(**detector)

    def forward(self, picture: Tensor, data_sample: Any) -> InstanceData:
        """Those of a picture; all have label 0."""
        (found,) = self.detector.predict(picture, [data_sample])
        found = found[(found.labels == self.label) & (found.scores >= self.score)]
        labels = torch.zeros_like(found.labels)
        return InstanceData(bboxes=found.bboxes, scores=found.scores, labels=labels)
