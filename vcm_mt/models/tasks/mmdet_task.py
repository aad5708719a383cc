"""Any detector of mmdet as a frozen task."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks.detector_config import DetectorPlan, read_detector
from vcm_mt.models.tasks.detector_modes import (
    heads_training,
    mmdet_scope,
    quietly,
    running,
)
from vcm_mt.models.tasks.fast_detector import Switches
from vcm_mt.models.tasks.features import boxes_to_map
from vcm_mt.models.tasks.geometry import DetectorGeometry, geometry_of
from vcm_mt.models.tasks.network import NetworkTask
from vcm_mt.models.tasks.own_truth import with_instances
from vcm_mt.models.tasks.seeded_sampling import (
    DRAW_SEED,
    drawing_by_picture,
    hand_seed,
    samplers_of,
)
from vcm_mt.models.tasks.yolox import in_mmdets_names
from vcm_mt.registry import MODELS


@MODELS.register_module()
class MMDetTask(NetworkTask):
    """A detector or instance segmenter behind the decoder; see :class:`NetworkTask`.

    Resize, channel order, normalisation and padding of the detector are applied to the decoded
    picture, and pass the gradient on: the codec itself works at native resolution.

    Args:
        detector: ``mmdet::...`` name or path of a config, or a dict with the model's
            config itself.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`); ``None`` for
            random ones.
        resize: ``scale`` (long and short side in pixels) and ``keep_ratio`` of the resize before
            the detector. By default that of the config's test pipeline, or native resolution for
            a model dict. If the pipeline pads to a fixed size, this scale replaces that size.
        loss_weight: See :class:`NetworkTask`.
        feature_weight: See :class:`NetworkTask`; the detector's loss samples few boxes.
        feature_background: See :class:`NetworkTask`; the foreground is the true boxes.
        amp: Precision of backbone and neck while a codec is trained through them, see
            :func:`vcm_mt.models.precision.amp_dtype`; ``"auto"`` is float32 where they contain
            operators of mmcv. Heads, RoIAlign and losses stay in float32.
        fold: Train through a backbone whose batch norms are folded into its convolutions.
        fast_roi_align: On a CPU, train through :class:`vcm_mt.models.fast.roi_align.FastRoIAlign`.
        checkpoint_activations: Recompute the backbone's maps for the gradient, block by block:
            less memory for more time.
        truth: See :class:`NetworkTask`.
        score: See :class:`NetworkTask`.
        remember: See :class:`NetworkTask`.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.
        quick_roi_align: Former name of ``fast_roi_align``.

    Raises:
        ConfigError: If the config contains no detector, the weights belong to another one, both
            factors are 0, or ``truth`` is something else.
    """

    scope = "mmdet"
    geometry: DetectorGeometry

    def __init__(
        self,
        detector: str | dict[str, Any] | DetectorPlan,
        checkpoint: str | None = None,
        resize: dict[str, Any] | None = None,
        loss_weight: float = 1.0,
        feature_weight: float = 0.0,
        feature_background: float = 1.0,
        amp: bool | str = False,
        fold: bool = False,
        fast_roi_align: bool = False,
        checkpoint_activations: bool = False,
        truth: str = "labels",
        score: float = 0.5,
        remember: int = 0,
        weight: float = 1.0,
        receiver: str = "shared",
        quick_roi_align: bool | None = None,
    ) -> None:
        if quick_roi_align is not None:
            warnings.warn("quick_roi_align is now called fast_roi_align", FutureWarning, 2)
            fast_roi_align = quick_roi_align
        switches = Switches(amp, fold, fast_roi_align, checkpoint_activations)
        super().__init__(
            loss_weight, feature_weight, feature_background, truth, score, remember, switches,
            weight, receiver,
        )  # fmt: skip
        plan = detector if isinstance(detector, DetectorPlan) else read_detector(detector)
        self.masks = plan.masks
        self.detector = _build(plan.model)
        if checkpoint:
            weights = in_mmdets_names(read_state_dict(checkpoint))
            load_strictly(self.detector, weights, checkpoint)
        else:
            with quietly():
                self.detector.init_weights()
        self._samplers = samplers_of(self.detector)
        names = [name for name, _ in self.detector.named_modules()]
        if loss_weight and any(name.endswith("semantic_head") for name in names):
            raise ConfigError(
                f"{type(self.detector).__name__} learns from semantic maps, and annotations here "
                "are boxes and masks: set loss_weight=0 and a feature_weight for this detector"
            )
        has_mask_head = any(name.endswith("mask_head") for name in names)
        own_resize, pad = geometry_of(plan.test_pipeline)
        if resize and pad and "size" in pad:
            pad["size"] = resize["scale"]
        self.geometry = DetectorGeometry(
            self.detector.data_preprocessor,
            resize or own_resize,
            pad,
            self.masks,
            needs_masks=bool(loss_weight) and has_mask_head,
        )

    @property
    def network(self) -> Any:
        """The detector."""
        return self.detector

    def _own_loss(
        self,
        network: Any,
        inputs: Tensor,
        samples: list[DetDataSample],
        data_samples: list[Any],
    ) -> dict[str, Tensor]:
        if not self.loss_weight:
            network.extract_feat(inputs)
            return {}
        for given, sample in zip(data_samples, samples, strict=True):
            hand_seed(given, sample)
        if MessageHub.get_current_instance().get_info("epoch") is None:
            MessageHub.get_current_instance().update_info("epoch", 0)  # TOOD reads it
        with heads_training(network), drawing_by_picture(self._samplers):
            losses = network.loss(inputs, samples)
        return {
            # Reduced as mmengine does; the loss of a mask head has one dimension.
            name: self.loss_weight
            * (value.mean() if isinstance(value, Tensor) else sum(v.mean() for v in value))
            for name, value in losses.items()
            if "loss" in name
        }

    def foreground(self, x: Tensor, score: float) -> Tensor:
        """See :meth:`Task.foreground`."""
        size = tuple(x.shape[-2:])
        plain = DetDataSample(metainfo={"img_shape": size, "ori_shape": size})
        known = self._with_truth(plain, self._predicted(x, plain, score))
        inputs, samples = self.geometry.prepare(x, [known], with_truth=True)
        return self._foreground(samples, inputs)

    def _foreground(self, samples: list[Any], inputs: Tensor) -> Tensor:
        boxes = [get_box_tensor(sample.gt_instances.bboxes) for sample in samples]
        return boxes_to_map(boxes, inputs.shape[-2:], inputs)

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData]:
        """Boxes (and masks) in native coordinates; see :meth:`Task.predict`."""
        inputs, samples = self.geometry.prepare(x_hat, data_samples, with_truth=False)
        with running(inputs):
            results = self.detector.predict(inputs, samples, rescale=True)
        if not all("pred_instances" in result for result in results):
            raise ConfigError(
                f"{type(self.detector).__name__} predicts no instances: take a detector or an "
                "instance segmenter"
            )
        return [result.pred_instances for result in results]

    def own_truth(self, x: Tensor, data_sample: Any, score: float) -> Any:
        """See :meth:`NetworkTask.own_truth`."""
        sample = super().own_truth(x, data_sample, score)
        sample.set_metainfo({DRAW_SEED: 0})  # the same samples, and so the same loss, each time
        return sample

    def _predicted(self, x: Tensor, data_sample: Any, score: float | None = None) -> InstanceData:
        """Predictions on an original [1, 3, H, W] as ground truth for its loss."""
        (instances,) = self.predict(x, [data_sample])
        instances = instances[instances.scores >= (self.score if score is None else score)]
        truth = InstanceData(bboxes=instances.bboxes, labels=instances.labels)
        if self.masks and "masks" in instances:
            masks = instances.masks.cpu().numpy().astype(np.uint8)
            truth.masks = BitmapMasks(masks, *x.shape[-2:])
        return truth

    def _with_truth(self, data_sample: Any, truth: InstanceData) -> Any:
        return with_instances(data_sample, truth)


def _build(model: ConfigDict) -> Any:
    with mmdet_scope():
        detector = MMDET_MODELS.build(model)
    preprocessor = detector.data_preprocessor
    if type(preprocessor) is not DetDataPreprocessor:
        raise ConfigError(
            f"{type(detector).__name__} has a {type(preprocessor).__name__}: only detectors with "
            "mmdet's DetDataPreprocessor can be trained through"
        )
    return detector
