"""Any detector of mmdet as a frozen task."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.detector_config import DetectorPlan, read_detector
from vcm_mt.models.tasks.detector_modes import (
    feature_maps,
    heads_training,
    maps_of,
    mmdet_scope,
    quietly,
    running,
)
from vcm_mt.models.tasks.fast_detector import FastDetector, Switches
from vcm_mt.models.tasks.feature_cache import FeatureCache
from vcm_mt.models.tasks.features import boxes_to_map, feature_distance
from vcm_mt.models.tasks.geometry import DetectorGeometry, geometry_of
from vcm_mt.models.tasks.own_truth import OwnTruth
from vcm_mt.models.tasks.seeded_sampling import (
    DRAW_SEED,
    drawing_by_picture,
    hand_seed,
    samplers_of,
)
from vcm_mt.models.tasks.yolox import in_mmdets_names
from vcm_mt.registry import MODELS

#: Key in a data sample's metainfo of its original's feature maps.
_MAPS = "original_maps"


@MODELS.register_module()
class MMDetTask(Task):
    """A detector or instance segmenter behind the decoder.

    Resize, channel order, normalisation and padding of the detector are applied to the decoded
    picture, and pass the gradient on: the codec itself works at native resolution.

    .. code-block:: none

        x_hat --> resize, pad, normalise --> backbone, neck --> heads --> L_task
                  DetectorGeometry                  |
                                                    +--> distance to the original's maps

    Args:
        detector: ``mmdet::...`` name or path of a config, or a dict with the model's
            config itself.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`); ``None`` for
            random ones.
        resize: ``scale`` (long and short side in pixels) and ``keep_ratio`` of the resize before
            the detector. By default that of the config's test pipeline, or native resolution for
            a model dict. If the pipeline pads to a fixed size, this scale replaces that size.
        loss_weight: Factor of the detector's own training loss. 0 skips its heads; with
            ``feature_background=1`` no annotations are needed then.
        feature_weight: Factor of :func:`feature_distance` of the neck's maps, a dense signal
            beside the few boxes that the detector's loss samples. 0 skips it.
        feature_background: Weight of everything outside the true boxes in that distance, in
            [0, 1].
        amp: Precision of backbone and neck while a codec is trained through them, see
            :func:`vcm_mt.models.precision.amp_dtype`; ``"auto"`` is float32 where they contain
            operators of mmcv. Heads, RoIAlign and losses stay in float32.
        fold: Train through a backbone whose batch norms are folded into its convolutions.
        fast_roi_align: On a CPU, train through :class:`vcm_mt.models.fast.roi_align.FastRoIAlign`.
        checkpoint_activations: Recompute the backbone's maps for the gradient, block by block:
            less memory for more time.
        truth: Ground truth of the detector's own loss and of the foreground: ``"labels"``, those of
            the data set, or ``"own"``, the detector's predictions on the original.
        score: Lowest score of predictions that count as such truth, in [0, 1].
        remember: MiB of feature maps of originals to keep, so that each is computed once. For
            trainings that see each picture unchanged, or mirrored, many times.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.
        quick_roi_align: Former name of ``fast_roi_align``.

    Raises:
        ConfigError: If the config contains no detector, the weights belong to another one, both
            factors are 0, or ``truth`` is something else.
    """

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
        super().__init__(weight, receiver)
        if min(loss_weight, feature_weight) < 0 or not loss_weight + feature_weight > 0:
            raise ConfigError("loss_weight and feature_weight: none below 0, not both 0")
        if truth not in ("labels", "own"):
            raise ConfigError(f'truth must be "labels" or "own", not {truth!r}')
        if quick_roi_align is not None:
            warnings.warn("quick_roi_align is now called fast_roi_align", FutureWarning, 2)
            fast_roi_align = quick_roi_align
        self.loss_weight = loss_weight
        self.feature_weight = feature_weight
        self.feature_background = feature_background
        self.truth, self.score = truth, score
        self._own = OwnTruth(self._predicted) if truth == "own" else None
        self.amp = amp
        self._cache = FeatureCache(remember << 20) if remember else None
        self.fast = FastDetector(Switches(amp, fold, fast_roi_align, checkpoint_activations))
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

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The detector's training losses on decoded pictures; see :meth:`Task.loss`."""
        with_truth = bool(self.loss_weight) or self.feature_background != 1
        if self._own is not None and with_truth:
            data_samples = self._own.samples(x, data_samples)
        inputs, samples = self.geometry.prepare(x_hat, data_samples, with_truth)
        detector = self.fast.of(self.detector)  # the detector itself if no switch is on
        with running(inputs), maps_of(detector) as maps:
            losses = self._own_loss(detector, inputs, samples, data_samples)
        if self.feature_weight:
            foreground = inputs.new_ones(len(inputs), 1, 1, 1)
            if with_truth:
                boxes = [get_box_tensor(sample.gt_instances.bboxes) for sample in samples]
                foreground = boxes_to_map(boxes, inputs.shape[-2:], inputs)
            original = self._maps_of_originals(detector, x, data_samples, foreground)
            decoded = feature_maps(maps[0])
            distance = feature_distance(decoded, original, foreground, self.feature_background)
            losses["loss_feature"] = self.feature_weight * distance
        return losses

    def _own_loss(
        self,
        detector: Any,
        inputs: Tensor,
        samples: list[DetDataSample],
        data_samples: list[Any],
    ) -> dict[str, Tensor]:
        if not self.loss_weight:
            detector.extract_feat(inputs)
            return {}
        for given, sample in zip(data_samples, samples, strict=True):
            hand_seed(given, sample)
        if MessageHub.get_current_instance().get_info("epoch") is None:
            MessageHub.get_current_instance().update_info("epoch", 0)  # TOOD reads it
        with heads_training(detector), drawing_by_picture(self._samplers):
            losses = detector.loss(inputs, samples)
        return {
            # Reduced as mmengine does; the loss of a mask head has one dimension.
            name: self.loss_weight
            * (value.mean() if isinstance(value, Tensor) else sum(v.mean() for v in value))
            for name, value in losses.items()
            if "loss" in name
        }

    def _maps_of_originals(
        self, detector: Any, x: Tensor | None, data_samples: list[Any], foreground: Tensor
    ) -> Sequence[Tensor]:
        """The originals' maps: from their data sample, from the cache, or computed."""
        if len(data_samples) == 1 and _MAPS in data_samples[0]:
            return list(data_samples[0].get(_MAPS))
        paths = [sample.get("img_path") for sample in data_samples]
        if self._cache is None or None in paths:
            return self._original_maps(detector, x, data_samples)
        # The border of a map depends on the padding that its picture has in the batch.
        size = foreground.shape[-2:]
        flips = [bool(sample.get("flip")) for sample in data_samples]
        keys = [(*key, size) for key in zip(paths, flips, strict=True)]
        cached = self._cache.recall(keys)
        if cached is not None:
            return cached
        maps = self._original_maps(detector, x, data_samples)
        self._cache.keep(keys, maps, None if self.feature_background else foreground)
        return maps

    @torch.no_grad()
    def _original_maps(
        self, detector: Any, x: Tensor | None, data_samples: list[Any]
    ) -> Sequence[Tensor]:
        if x is None:
            raise ConfigError(
                "feature_weight compares with the original pictures, and there are none: "
                "set it to 0 to train from bitstreams alone"
            )
        return self._maps(detector, x, data_samples)

    def _maps(self, detector: Any, x: Tensor, data_samples: list[Any]) -> list[Tensor]:
        inputs, _ = self.geometry.prepare(x, data_samples, with_truth=False)
        with running(inputs), maps_of(detector) as maps:
            detector.extract_feat(inputs)
        return feature_maps(maps[0])

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps that the heads are given; see :meth:`Task.features`."""
        size = tuple(x.shape[-2:])
        plain = BaseDataElement(metainfo={"img_shape": size, "ori_shape": size})
        return self._maps(self.fast.of(self.detector), x, [plain] * len(x))

    def foreground(self, x: Tensor, score: float) -> Tensor:
        """See :meth:`Task.foreground`."""
        size = tuple(x.shape[-2:])
        plain = DetDataSample(metainfo={"img_shape": size, "ori_shape": size})
        own = OwnTruth(lambda picture, sample: self._predicted(picture, sample, score))
        inputs, samples = self.geometry.prepare(x, own.samples(x, [plain]), with_truth=True)
        boxes = [get_box_tensor(sample.gt_instances.bboxes) for sample in samples]
        return boxes_to_map(boxes, inputs.shape[-2:], inputs)

    def settle_precision(self, known: str | None = None) -> str:
        """See :meth:`Task.settle_precision`."""
        amp = known if known and self.amp == "auto" else self.amp
        self.amp = self.fast.settle(amp, self.detector)
        return self.amp

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Train through a compiled backbone and neck."""
        self.fast = FastDetector(self.fast.switches._replace(compile=True))

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
        """See :meth:`Task.own_truth`; the sample also keeps the original's feature maps."""
        own = OwnTruth(lambda picture, sample: self._predicted(picture, sample, score))
        (sample,) = own.samples(x, [data_sample])
        sample.set_metainfo({DRAW_SEED: 0})  # the same samples, and so the same loss, each time
        if self.feature_weight:
            maps = self._original_maps(self.fast.of(self.detector), x, [sample])
            sample.set_metainfo({_MAPS: maps})
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
