"""From an estimator's answers for crops to the poses of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

#: Joints with a lower score do not count for that of a pose, as in mmpose.
_COUNTED = 0.2


def pose_scores(keypoint_scores: Any, box_scores: Any) -> NDArray[np.float64]:
    """Scores of poses: each box's times the mean of its joints' that are above 0.2.

    Args:
        keypoint_scores: Array [n, K], in [0, 1].
        box_scores: Array [n], in [0, 1].

    Returns:
        float64 [n].
    """
    joints = np.asarray(keypoint_scores, dtype=np.float64)
    counted = joints > _COUNTED
    means = (joints * counted).sum(1) / counted.sum(1).clip(1)
    return np.asarray(np.asarray(box_scores, dtype=np.float64) * means)


def poses_of(samples: list[Any], boxes: InstanceData) -> InstanceData:
    """The poses in the boxes of a picture, in native coordinates.

    Args:
        samples: The estimator's answer for each box.
        boxes: ``bboxes``, ``scores`` and ``labels`` of each.

    Returns:
        ``keypoints`` [n, K, 2], ``keypoint_scores`` [n, K], ``scores`` [n], ``labels`` [n] and
        ``bboxes`` [n, 4].
    """
    like: Tensor = boxes.bboxes
    points = np.concatenate([one.pred_instances.keypoints[..., :2] for one in samples])
    joints = np.concatenate([one.pred_instances.keypoint_scores for one in samples])
    scores = pose_scores(joints, boxes.scores.cpu())
    return InstanceData(
        keypoints=torch.from_numpy(points).to(like),
        keypoint_scores=torch.from_numpy(joints).to(like),
        scores=torch.from_numpy(scores).to(like),
        labels=boxes.labels,
        bboxes=like,
    )


def no_poses(joints: int, like: Tensor) -> InstanceData:
    """The poses of a picture without boxes."""
    return InstanceData(
        keypoints=like.new_zeros(0, joints, 2),
        keypoint_scores=like.new_zeros(0, joints),
        scores=like.new_zeros(0),
        labels=torch.zeros(0, dtype=torch.int64, device=like.device),
        bboxes=like.new_zeros(0, 4),
    )


def without_doubles(
    poses: InstanceData, samples: list[Any], sigmas: Sequence[float], threshold: float
) -> InstanceData:
    """Mmpose's suppression of poses that are too similar to a better one.

    Args:
        poses: The poses of a picture.
        samples: The estimator's answer for each, whose crops' areas decide what similar means.
        sigmas: Of the joints.
        threshold: The largest object keypoint similarity (OKS) of two poses.
    """
    from mmpose.evaluation.functional import oks_nms

    points = torch.cat([poses.keypoints, poses.keypoint_scores[..., None]], -1).cpu().numpy()
    found = [
        {"keypoints": own, "score": score, "area": float(np.prod(one.gt_instances.bbox_scales))}
        for own, score, one in zip(points, poses.scores.tolist(), samples, strict=True)
    ]
    kept = oks_nms(found, threshold, sigmas=np.asarray(sigmas))
    chosen: InstanceData = poses[torch.as_tensor(kept, device=poses.scores.device).long()]
    return chosen
