"""From decoded pictures and boxes to a pose estimator's input, with a gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.models.tasks.mmpose_import import mmpose_scope
from vcm_mt.models.tasks.pose_config import PosePlan


class PoseInput(NamedTuple):
    """What an estimator takes.

    Attributes:
        inputs: float32 [n, 3, h, w], contiguous, normalised as the estimator was trained.
        samples: One ``PoseDataSample`` of mmpose per crop.
    """

    inputs: Tensor
    samples: list[Any]


class PoseGeometry:
    """Crops boxes and normalises the crops as an estimator's test pipeline does.

    Every step is differentiable with respect to the pictures. Centre, scale and targets are those
    of mmpose's own transforms, and the crop is its affine warp.

    .. code-block:: none

        x_hat --> true size --> warp to each box --> normalise --> crops
                                   ^
        boxes --> padding, aspect ratio

    Args:
        plan: The estimator's config.
        preprocessor: The estimator's own: channel order, mean, standard deviation.
    """

    def __init__(self, plan: PosePlan, preprocessor: Any) -> None:
        from mmpose.registry import TRANSFORMS

        with mmpose_scope():
            self._place, self._affine = (TRANSFORMS.build(step) for step in plan.cropping)
            self._target = TRANSFORMS.build(plan.target)
            self._pack = TRANSFORMS.build({"type": "PackPoseInputs"})
        self.preprocessor = preprocessor
        names = ("dataset_name", "flip_indices", "flip_pairs", "dataset_keypoint_weights")
        self._known = {name: plan.metainfo[name] for name in names if name in plan.metainfo}

    def prepare(self, picture: Tensor, people: InstanceData, with_truth: bool) -> PoseInput:
        """Prepare the crops of a picture.

        Args:
            picture: float [1, 3, H, W], RGB in [0, 1], at its true size.
            people: ``bboxes`` [n, 4], n > 0, and ``scores`` [n]; with truth also ``keypoints``
                [n, K, 2] and ``keypoints_visible`` [n, K].
            with_truth: Make the targets of the estimator's loss.
        """
        told = [self._told(one, with_truth) for one in people]
        warps = [self._warp(one) for one in told]
        width, height = self._affine.input_size
        crops = self.normalise(warped(picture, warps, (int(width), int(height))))
        samples = [self._pack.transform(one)["data_samples"].to(picture.device) for one in told]
        return PoseInput(crops, samples)

    def _told(self, person: InstanceData, with_truth: bool) -> dict[str, Any]:
        """The results of mmpose's pipeline for one box, but for the picture."""
        results: dict[str, Any] = {
            **self._known,
            "img": [],
            "bbox": _array(person.bboxes),
            "bbox_score": _array(person.scores),
        }
        if with_truth:
            results["keypoints"] = _array(person.keypoints)
            results["keypoints_visible"] = _array(person.keypoints_visible)
        with mmpose_scope():
            results = self._affine.transform(self._place.transform(results))
            if with_truth:
                results = self._target.transform(results)
        results["img"] = np.zeros((1, 1, 3), np.uint8)  # crops are made apart, with a gradient
        return results

    def _warp(self, results: dict[str, Any]) -> NDArray[np.float64]:
        from mmpose.structures.bbox import get_udp_warp_matrix, get_warp_matrix

        make = get_udp_warp_matrix if self._affine.use_udp else get_warp_matrix
        size = self._affine.input_size
        matrix = make(results["input_center"], results["input_scale"], 0.0, output_size=size)
        return np.asarray(matrix, dtype=np.float64)

    def normalise(self, picture: Tensor) -> Tensor:
        """Scale RGB in [0, 1] as the estimator was trained, in its channel order."""
        # OpenMMLab loads BGR: an estimator that converts channels wants RGB, which we have.
        if not self.preprocessor._channel_conversion:
            picture = picture.flip(1)
        picture = 255 * picture
        if self.preprocessor._enable_normalize:
            picture = (picture - self.preprocessor.mean) / self.preprocessor.std
        return picture.float().contiguous(memory_format=torch.contiguous_format)


def warped(picture: Tensor, warps: list[NDArray[np.float64]], size: tuple[int, int]) -> Tensor:
    """``cv2.warpAffine`` with linear interpolation and black outside, with a gradient.

    Args:
        picture: float [1, 3, H, W].
        warps: n matrices [2, 3] from the picture to the crop, in pixels.
        size: Width and height of a crop.

    Returns:
        float [n, 3, h, w].
    """
    width, height = size
    rows, columns = np.indices((height, width), dtype=np.float64)
    points = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    places = np.stack([points @ cv2.invertAffineTransform(warp).T for warp in warps])
    sides = np.array(picture.shape[:-3:-1], dtype=np.float64)
    # Of a side of one pixel any factor will do: its only place is 0.
    grid = torch.from_numpy(2 * places / np.maximum(sides - 1, 1) - 1).to(picture)
    # One tall crop: the picture is not copied for each box.
    tall = F.grid_sample(
        picture, grid.view(1, -1, width, 2), "bilinear", "zeros", align_corners=True
    )
    return tall.view(-1, len(warps), height, width).transpose(0, 1)


def _array(values: Any) -> NDArray[np.float32]:
    return np.asarray(values.detach().cpu(), dtype=np.float32)
