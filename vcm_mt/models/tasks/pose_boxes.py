"""The annotated boxes in which an estimator looks for poses."""

from __future__ import annotations

from typing import Any

from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.errors import DataError


def of_truth(picture: Tensor, data_sample: Any) -> InstanceData:
    """The annotated boxes with a joint, cut to the picture as mmpose does.

    Raises:
        DataError: If there are no annotations.
    """
    people = true_people(data_sample)
    height, width = picture.shape[-2:]
    edges = people.bboxes.new_tensor([width - 1, height - 1] * 2)
    people.bboxes = people.bboxes.clamp_min(0).minimum(edges)
    return people


def true_people(data_sample: Any) -> InstanceData:
    """The annotated objects with a joint: ``bboxes``, ``scores``, ``labels``, and keypoints.

    Raises:
        DataError: If there are no annotations.
    """
    truth = data_sample.get("gt_instances")
    if truth is None or "bboxes" not in truth or "keypoints" not in truth:
        raise DataError(
            f"picture {data_sample.metainfo.get('img_path')} comes without its annotated "
            "keypoints: put vcm_mt.LoadAnnotations(with_keypoints=True) and vcm_mt.PackPoses into "
            "the pipeline, or let boxes of this task come from a detector or a file"
        )
    boxes = get_box_tensor(truth.bboxes)
    people = InstanceData(
        bboxes=boxes,
        scores=boxes.new_ones(len(boxes)),
        labels=truth.labels,
        keypoints=truth.keypoints,
        keypoints_visible=truth.keypoints_visible,
    )
    extent = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return people[extent & (truth.keypoints_visible > 0).any(1)]
