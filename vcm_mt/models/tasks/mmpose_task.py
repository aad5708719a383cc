"""Any top-down pose estimator of mmpose as a frozen task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.boxes import DetectorBoxes, make_boxes
from vcm_mt.models.tasks.detector_modes import feature_maps, heads_training, maps_of, quietly
from vcm_mt.models.tasks.fast_detector import FastDetector, Switches
from vcm_mt.models.tasks.features import boxes_to_map, feature_distance
from vcm_mt.models.tasks.mmpose_import import mmpose_scope
from vcm_mt.models.tasks.own_truth import OwnTruth
from vcm_mt.models.tasks.pose_boxes import of_truth, true_people
from vcm_mt.models.tasks.pose_config import PosePlan, read_estimator
from vcm_mt.models.tasks.pose_geometry import PoseGeometry, PoseInput
from vcm_mt.models.tasks.pose_results import no_poses, poses_of, without_doubles
from vcm_mt.registry import MODELS

#: Crops that are looked at together in prediction.
_CROPS = 32
#: Backbones' sizes are multiples of this in :meth:`MMPoseTask.features`.
_DIVISOR = 32


@MODELS.register_module()
class MMPoseTask(Task):
    """A top-down pose estimator behind the decoder: it finds the joints of each box's object.

    Boxes are cut out of the decoded picture and normalised as the estimator does, and pass the
    gradient on: the codec itself works at native resolution. Training takes the annotated boxes and
    joints.

    .. code-block:: none

        x_hat --> crops of boxes, normalise --> backbone, neck --> head --> L_task
                  PoseGeometry                        |
                                                      +--> distance to the original's maps

    Args:
        estimator: ``mmpose::...`` or ``vcm_mt::...`` name or path of a config, or a dict with the
            model's config itself.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`); ``None`` for
            random ones.
        boxes: Where predictions look: ``"truth"``, the annotated boxes; ``"given"``, the boxes in
            each data sample's ``proposals``; ``dict(file=..., category=1, score=0.0)``, detections
            in COCO's result format; or ``dict(detector=..., checkpoint=..., label=0, score=0.05)``,
            what a detector of mmdet finds in the same picture.
        nms: Poses of one picture that are more similar (OKS) are doubles, as in mmpose; ``None``
            keeps all.
        loss_weight: Factor of the estimator's own training loss. 0 skips its head.
        feature_weight: Factor of :func:`feature_distance` of the crops' feature maps, a dense
            signal beside the few joints. 0 skips it.
        amp: Precision of backbone and neck while a codec is trained through them, see
            :func:`vcm_mt.models.precision.amp_dtype`.
        fold: Train through a backbone whose batch norms are folded into its convolutions.
        checkpoint_activations: Recompute the backbone's maps for the gradient, block by block.
        truth: Joints of the loss: ``"labels"``, those of the data set, or ``"own"``, the
            estimator's predictions on the original, in the boxes that ``boxes`` names.
        score: Lowest score of poses and joints that count as such truth, in [0, 1].
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Raises:
        ConfigError: If mmpose is not installed, the config has no top-down estimator, the weights
            belong to another one, both factors are 0, or ``truth`` is something else.
    """

    def __init__(
        self,
        estimator: str | dict[str, Any],
        checkpoint: str | None = None,
        boxes: str | dict[str, Any] = "truth",
        nms: float | None = 0.9,
        loss_weight: float = 1.0,
        feature_weight: float = 0.0,
        amp: bool | str = False,
        fold: bool = False,
        checkpoint_activations: bool = False,
        truth: str = "labels",
        score: float = 0.3,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        if min(loss_weight, feature_weight) < 0 or not loss_weight + feature_weight > 0:
            raise ConfigError("loss_weight and feature_weight: none below 0, not both 0")
        if truth not in ("labels", "own"):
            raise ConfigError(f'truth must be "labels" or "own", not {truth!r}')
        plan = read_estimator(estimator)
        self.loss_weight, self.feature_weight = loss_weight, feature_weight
        self.truth, self.score, self.nms = truth, score, nms
        self.amp = amp
        self._own = OwnTruth(self._predicted) if truth == "own" else None
        self.fast = FastDetector(Switches(amp, fold, False, checkpoint_activations))
        self.boxes = make_boxes(boxes, of_truth)
        self.estimator = _build(plan)
        if checkpoint:
            load_strictly(self.estimator, read_state_dict(checkpoint), checkpoint)
        else:
            with quietly(), mmpose_scope():
                self.estimator.init_weights()
        self.joints: int = plan.metainfo.get("num_keypoints") or plan.model.head.out_channels
        self._sigmas = plan.metainfo.get("sigmas")
        self.geometry = PoseGeometry(plan, self.estimator.data_preprocessor)

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The estimator's training losses on decoded pictures; see :meth:`Task.loss`.

        Raises:
            DataError: If a picture comes without keypoints, or with those of other joints.
        """
        if self._own is not None:
            data_samples = self._own.samples(x, data_samples)
        people = [self._people(sample) for sample in data_samples]
        crops = self._crops(x_hat, data_samples, people)
        if crops is None:
            return {"loss_pose": 0 * x_hat.sum()}
        estimator = self.fast.of(self.estimator)  # the estimator itself if no switch is on
        with _running(crops.inputs), maps_of(estimator) as maps:
            losses = self._own_loss(estimator, crops)
        if self.feature_weight:
            original = self._original_maps(estimator, x, data_samples, people)
            everywhere = crops.inputs.new_ones(len(crops.inputs), 1, 1, 1)
            distance = feature_distance(feature_maps(maps[0]), original, everywhere)
            losses["loss_feature"] = self.feature_weight * distance
        return losses

    def _people(self, sample: Any) -> InstanceData:
        people = true_people(sample)
        if len(people) and people.keypoints.shape[1] != self.joints:
            raise DataError(
                f"picture {sample.metainfo.get('img_path')} has objects of "
                f"{people.keypoints.shape[1]} joints, and the estimator finds {self.joints}: take "
                "one that was trained for these annotations"
            )
        return people

    def _crops(
        self, x: Tensor, data_samples: list[Any], people: list[InstanceData]
    ) -> PoseInput | None:
        """The crops of a batch and their targets; ``None`` where there are no people."""
        parts = [
            self.geometry.prepare(_true_size(picture, sample), own, with_truth=True)
            for picture, sample, own in zip(x, data_samples, people, strict=True)
            if len(own)
        ]
        if not parts:
            return None
        inputs = torch.cat([part.inputs for part in parts])
        return PoseInput(inputs, [sample for part in parts for sample in part.samples])

    def _own_loss(self, estimator: Any, crops: PoseInput) -> dict[str, Tensor]:
        if not self.loss_weight:
            estimator.extract_feat(crops.inputs)
            return {}
        with heads_training(estimator):
            losses = estimator.loss(crops.inputs, crops.samples)
        return {
            name: self.loss_weight * value.mean()
            for name, value in losses.items()
            if "loss" in name
        }

    @torch.no_grad()
    def _original_maps(
        self, estimator: Any, x: Tensor | None, data_samples: list[Any], people: list[InstanceData]
    ) -> list[Tensor]:
        if x is None:
            raise ConfigError(
                "feature_weight compares with the original pictures, and there are none: "
                "set it to 0 to train from bitstreams alone"
            )
        crops = self._crops(x, data_samples, people)
        assert crops is not None, "the decoded pictures have the same people"
        return _maps(estimator, crops.inputs)

    def features(self, x: Tensor) -> list[Tensor]:
        """The backbone's maps of whole pictures, at their own scale; see :meth:`Task.features`."""
        inputs = self.geometry.normalise(x)
        height, width = (-side % _DIVISOR for side in x.shape[-2:])
        return _maps(self.fast.of(self.estimator), F.pad(inputs, (0, width, 0, height)))

    def foreground(self, x: Tensor, score: float) -> Tensor:
        """The detector's boxes, where boxes come from one; see :meth:`Task.foreground`."""
        if not isinstance(self.boxes, DetectorBoxes):
            return super().foreground(x, score)
        size = tuple(x.shape[-2:])
        plain = InstanceData(metainfo={"img_shape": size, "ori_shape": size})
        found = self.boxes(x, plain)
        return boxes_to_map([found.bboxes[found.scores >= score]], size, x)

    def settle_precision(self, known: str | None = None) -> str:
        """See :meth:`Task.settle_precision`."""
        amp = known if known and self.amp == "auto" else self.amp
        self.amp = self.fast.settle(amp, self.estimator)
        return self.amp

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Train through a compiled backbone and neck."""
        self.fast = FastDetector(self.fast.switches._replace(compile=True))

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData]:
        """Poses in native coordinates; see :meth:`Task.predict`.

        Returns:
            Per picture ``keypoints`` [n, K, 2], ``keypoint_scores`` [n, K], ``scores`` [n] (the
            box's times the mean of its joints' above 0.2), ``labels`` [n] and ``bboxes`` [n, 4].
        """
        return [
            self._poses(_true_size(picture, sample), sample)
            for picture, sample in zip(x_hat, data_samples, strict=True)
        ]

    def _poses(self, picture: Tensor, data_sample: Any) -> InstanceData:
        boxes = self.boxes(picture, data_sample)
        if not len(boxes):
            return no_poses(self.joints, picture)
        crops = self.geometry.prepare(picture, boxes, with_truth=False)
        found: list[Any] = []
        for first in range(0, len(boxes), _CROPS):
            part = slice(first, first + _CROPS)
            with _running(picture):
                found += self.estimator.predict(crops.inputs[part], crops.samples[part])
        poses = poses_of(found, boxes)
        if self.nms is None or self._sigmas is None:
            return poses
        return without_doubles(poses, found, self._sigmas, self.nms)

    def own_truth(self, x: Tensor, data_sample: Any, score: float) -> Any:
        """See :meth:`Task.own_truth`.

        Raises:
            DataError: If ``boxes`` are the annotated ones and there are no annotations.
        """
        own = OwnTruth(lambda picture, sample: self._predicted(picture, sample, score))
        (sample,) = own.samples(x, [data_sample])
        return sample

    def _predicted(self, x: Tensor, data_sample: Any, score: float | None = None) -> InstanceData:
        """Predictions on an original [1, 3, H, W] as ground truth for its loss."""
        lowest = self.score if score is None else score
        (poses,) = self.predict(x, [data_sample])
        poses = poses[poses.scores >= lowest]
        return InstanceData(
            bboxes=poses.bboxes,
            labels=poses.labels,
            keypoints=poses.keypoints,
            keypoints_visible=(poses.keypoint_scores >= lowest).float(),
        )


def _build(plan: PosePlan) -> Any:
    from mmpose.models.data_preprocessors import PoseDataPreprocessor
    from mmpose.registry import MODELS as MMPOSE_MODELS

    try:
        with mmpose_scope():
            estimator = MMPOSE_MODELS.build(plan.model)
    except KeyError as error:  # parts of other packages, as the backbones of mmpretrain
        reason = str(error).strip("'\"").split(". ")[0]
        raise ConfigError(f"the estimator cannot be built: {reason}") from error
    if type(estimator.data_preprocessor) is not PoseDataPreprocessor:
        raise ConfigError(
            f"the estimator has a {type(estimator.data_preprocessor).__name__}: only those with "
            "mmpose's PoseDataPreprocessor can be trained through"
        )
    if estimator.test_cfg.get("flip_test") and "flip_indices" not in plan.metainfo:
        raise ConfigError(
            "an estimator that is tested on mirror images needs to know its pairs of joints: give "
            "the model its metainfo, or set test_cfg.flip_test=False"
        )
    estimator.train_cfg = {**estimator.train_cfg, "compute_acc": False}
    return estimator


def _maps(estimator: Any, inputs: Tensor) -> list[Tensor]:
    with _running(inputs), maps_of(estimator) as maps:
        estimator.extract_feat(inputs)
    return feature_maps(maps[0])


@contextmanager
def _running(x: Tensor) -> Iterator[None]:
    """Run in mmpose's scope and, but for what the task decides itself, in float32."""
    with mmpose_scope(), torch.autocast(x.device.type, enabled=False):
        yield


def _true_size(picture: Tensor, sample: Any) -> Tensor:
    height, width = sample.img_shape[:2]
    return picture[None, :, :height, :width]
