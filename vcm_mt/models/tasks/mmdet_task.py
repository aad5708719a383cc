"""Any detector of mmdet's as a frozen task; the only place that touches mmdet's models."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.detector_config import read_detector
from vcm_mt.models.tasks.fast_detector import FastDetector, Switches
from vcm_mt.models.tasks.feature_cache import FeatureCache
from vcm_mt.models.tasks.features import boxes_to_map, feature_distance
from vcm_mt.models.tasks.geometry import geometry_of, padded, resized
from vcm_mt.models.tasks.seeded_sampling import (
    DRAW_SEED,
    drawing_by_picture,
    hand_seed,
    samplers_of,
)
from vcm_mt.registry import MODELS

#: Where a data sample keeps its original's feature maps, in its metainfo.
_MAPS = "original_maps"


@MODELS.register_module()
class MMDetTask(Task):
    """A detector or instance segmenter behind the decoder.

    The detector's own resize, channel order, normalisation and padding are done here, on
    the decoded picture, and pass the gradient on (design: the codec sees native pixels).

    .. code-block:: none

        x_hat --> true size --> resize, pad --> normalise --> batch --> detector --> loss, boxes

    Args:
        detector: ``mmdet::...`` name or path of a config, or a dict with the model's
            config itself.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`), or ``None``
            for random ones.
        resize: ``scale`` (long and short side in pixels) and ``keep_ratio`` of the resize in
            front of the detector. By default that of the config's test pipeline; for a
            model dict, native resolution. A pipeline that pads to a fixed size pads to this
            scale then.
        loss_weight: Factor of the detector's own training loss. 0 leaves out its heads, and with
            ``feature_background=1`` annotations are not needed either.
        feature_weight: Factor of :func:`feature_distance` of the neck's maps: a dense signal,
            where the detector's loss samples a few boxes. 0 leaves it out.
        feature_background: Weight of what lies outside the true boxes in that distance, in
            [0, 1].
        amp: What backbone and neck run in while a codec is trained through them, see
            :func:`vcm_mt.models.precision.amp_dtype`; ``"auto"`` is float32 where they hold
            operators of mmcv's. Heads, RoIAlign and losses stay in float32.
        fold: Train through a backbone whose batch norms are folded into its convolutions.
        quick_roi_align: On a CPU, train through :class:`.roi_align.QuickRoIAlign`.
        checkpoint_activations: Compute the backbone's maps again for the gradient, block by
            block, rather than keep them: less memory for more time.
        remember: How many MiB of the originals' feature maps are kept, so as to compute them
            once. For trainings that meet each picture unchanged, or mirrored, again and again.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Raises:
        ConfigError: When the config has no detector, the weights are another one's, or both
            factors are 0.
    """

    def __init__(
        self,
        detector: str | dict[str, Any],
        checkpoint: str | None = None,
        resize: dict[str, Any] | None = None,
        loss_weight: float = 1.0,
        feature_weight: float = 0.0,
        feature_background: float = 1.0,
        amp: bool | str = False,
        fold: bool = False,
        quick_roi_align: bool = False,
        checkpoint_activations: bool = False,
        remember: int = 0,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        if min(loss_weight, feature_weight) < 0 or not loss_weight + feature_weight > 0:
            raise ConfigError("loss_weight and feature_weight: none below 0, not both 0")
        self.loss_weight = loss_weight
        self.feature_weight = feature_weight
        self.feature_background = feature_background
        self.amp = amp
        self._originals = FeatureCache(remember << 20) if remember else None
        self.quick = FastDetector(Switches(amp, fold, quick_roi_align, checkpoint_activations))
        plan = read_detector(detector)
        self.masks = plan.masks
        own_resize, self.pad = geometry_of(plan.test_pipeline)
        self.resize = resize or own_resize
        if resize and self.pad and "size" in self.pad:
            self.pad["size"] = resize["scale"]
        self.detector = _build(plan.model)
        if checkpoint:
            load_strictly(self.detector, read_state_dict(checkpoint), checkpoint)
        else:
            with _quietly():
                self.detector.init_weights()
        self._samplers = samplers_of(self.detector)
        names = [name for name, _ in self.detector.named_modules()]
        if loss_weight and any(name.endswith("semantic_head") for name in names):
            raise ConfigError(
                f"{type(self.detector).__name__} learns from semantic maps, which boxes and masks "
                "are not: set loss_weight=0 and a feature_weight for this detector"
            )
        self._has_mask_head = any(name.endswith("mask_head") for name in names)

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The detector's training losses on decoded pictures; see :meth:`Task.loss`."""
        with_truth = bool(self.loss_weight) or self.feature_background != 1
        inputs, samples = self._prepare(x_hat, data_samples, with_truth)
        detector = self.quick.of(self.detector)
        with _running(inputs), _maps_of(detector) as maps:
            parts = self._own_loss(detector, inputs, samples, data_samples)
        if self.feature_weight:
            foreground = inputs.new_ones(len(inputs), 1, 1, 1)
            if with_truth:
                boxes = [get_box_tensor(sample.gt_instances.bboxes) for sample in samples]
                foreground = boxes_to_map(boxes, inputs.shape[-2:], inputs)
            wanted = data_samples[0].get(_MAPS) if len(data_samples) == 1 else None
            if wanted is None:
                wanted = self._wanted_maps(detector, x, data_samples, foreground)
            got = _feature_maps(maps[0])
            distance = feature_distance(got, wanted, foreground, self.feature_background)
            parts["loss_feature"] = self.feature_weight * distance
        return parts

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
            MessageHub.get_current_instance().update_info("epoch", 0)  # TOOD compares with it
        with _heads_training(detector), drawing_by_picture(self._samplers):
            losses = detector.loss(inputs, samples)
        return {
            # As mmengine adds them up; a mask's loss comes with a dimension of one.
            name: self.loss_weight
            * (value.mean() if isinstance(value, Tensor) else sum(v.mean() for v in value))
            for name, value in losses.items()
            if "loss" in name
        }

    def _wanted_maps(
        self, detector: Any, x: Tensor | None, data_samples: list[Any], foreground: Tensor
    ) -> Sequence[Tensor]:
        """The originals' maps, computed once for as many pictures as there is room for."""
        paths = [sample.get("img_path") for sample in data_samples]
        if self._originals is None or None in paths:
            return self._original_maps(detector, x, data_samples)
        # A map's rim depends on the padding that a picture has in its batch.
        size = foreground.shape[-2:]
        flips = [bool(sample.get("flip")) for sample in data_samples]
        pictures = [(*known_by, size) for known_by in zip(paths, flips, strict=True)]
        known = self._originals.recall(pictures)
        if known is not None:
            return known
        maps = self._original_maps(detector, x, data_samples)
        self._originals.keep(pictures, maps, None if self.feature_background else foreground)
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
        originals, _ = self._prepare(x, data_samples, with_truth=False)
        with _running(originals), _maps_of(detector) as maps:
            detector.extract_feat(originals)
        return _feature_maps(maps[0])

    def settle_precision(self, known: str | None = None) -> str:
        """See :meth:`Task.settle_precision`."""
        amp = known if known and self.amp == "auto" else self.amp
        self.amp = self.quick.settle(amp, self.detector)
        return self.amp

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Train through a compiled backbone and neck."""
        self.quick = FastDetector(self.quick.switches._replace(compile=True))

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData]:
        """Boxes (and masks) in native coordinates; see :meth:`Task.predict`."""
        inputs, samples = self._prepare(x_hat, data_samples, with_truth=False)
        with _running(inputs):
            results = self.detector.predict(inputs, samples, rescale=True)
        if not all("pred_instances" in result for result in results):
            raise ConfigError(f"{type(self.detector).__name__} finds no instances in pictures")
        return [result.pred_instances for result in results]

    def own_truth(self, x: Tensor, data_sample: Any, score: float) -> Any:
        """See :meth:`Task.own_truth`; the sample also keeps the original's feature maps."""
        (found,) = self.predict(x, [data_sample])
        found = found[found.scores >= score]
        truth = InstanceData(bboxes=found.bboxes, labels=found.labels)
        if self.masks and "masks" in found:
            masks = found.masks.cpu().numpy().astype(np.uint8)
            truth.masks = BitmapMasks(masks, *x.shape[-2:])
        sample = data_sample.clone()
        sample.gt_instances = truth
        sample.ignored_instances = InstanceData(bboxes=found.bboxes[:0], labels=found.labels[:0])
        sample.set_metainfo({DRAW_SEED: 0})  # the same draws each time: the same loss
        if self.feature_weight:
            maps = self._original_maps(self.quick.of(self.detector), x, [sample])
            sample.set_metainfo({_MAPS: maps})
        return sample

    def _prepare(
        self, x_hat: Tensor, data_samples: list[Any], with_truth: bool
    ) -> tuple[Tensor, list[DetDataSample]]:
        pictures, samples = [], []
        for picture, given in zip(x_hat, data_samples, strict=True):
            height, width = given.img_shape[:2]
            scaled = resized(picture[None, :, :height, :width], self.resize)
            pictures.append(self._normalise(padded(scaled, self.pad)))
            samples.append(_rescaled_sample(given, scaled.shape[-2:], with_truth, self.masks))
            truth = samples[-1].get("gt_instances", ())
            wanted = with_truth and self.loss_weight and self._has_mask_head
            if wanted and len(truth) and "masks" not in truth:
                raise DataError(
                    f"picture {given.metainfo.get('img_path')} has objects without a mask, which "
                    "this task learns from: give every object a segmentation, or train through a "
                    "detector of boxes"
                )
        inputs = self._batch(pictures)
        for picture_in, sample in zip(pictures, samples, strict=True):
            shape = tuple(picture_in.shape[-2:])
            sample.set_metainfo(
                {
                    "img_shape": shape,  # with the pipeline's padding, as mmdet counts
                    "pad_shape": shape,
                    "batch_input_shape": tuple(inputs.shape[-2:]),
                }
            )
            if with_truth and "masks" in sample.gt_instances:
                masks = sample.gt_instances.masks
                sample.gt_instances.masks = masks.pad(tuple(inputs.shape[-2:]))
        return inputs, samples

    def _normalise(self, picture: Tensor) -> Tensor:
        preprocessor = self.detector.data_preprocessor
        # OpenMMLab loads BGR, so a detector that converts wants RGB, which we have.
        if not preprocessor._channel_conversion:
            picture = picture.flip(1)
        picture = 255 * picture
        if preprocessor._enable_normalize:
            picture = (picture - preprocessor.mean) / preprocessor.std
        return picture

    def _batch(self, pictures: list[Tensor]) -> Tensor:
        preprocessor = self.detector.data_preprocessor
        divisor = preprocessor.pad_size_divisor
        height = max(p.shape[-2] for p in pictures)
        width = max(p.shape[-1] for p in pictures)
        height, width = height + -height % divisor, width + -width % divisor
        batch = [
            F.pad(p, (0, width - p.shape[-1], 0, height - p.shape[-2]), value=_pad(preprocessor))
            for p in pictures
        ]
        # mmcv's CPU RoIAlign silently returns garbage for channels_last or half-precision
        # feature maps: whatever the codec's memory format was, the detector gets this one.
        return torch.cat(batch).float().contiguous(memory_format=torch.contiguous_format)


def _pad(preprocessor: Any) -> float:
    return float(preprocessor.pad_value)


def _mmdet_scope() -> Any:
    """Let what a detector builds while it runs be looked up among mmdet's."""
    return DefaultScope.overwrite_default_scope("mmdet")


@contextmanager
def _running(x: Tensor) -> Iterator[None]:
    """In mmdet's scope and in float32: mmcv's NMS and RoIAlign take no bfloat16."""
    with _mmdet_scope(), torch.autocast(x.device.type, enabled=False):
        yield


@contextmanager
def _maps_of(detector: Any) -> Iterator[list[Any]]:
    """Collect the feature maps that the heads are given while the detector runs."""
    maps: list[Any] = []
    source = detector.neck if detector.with_neck else detector.backbone
    handle = source.register_forward_hook(lambda module, inputs, output: maps.append(output))
    try:
        yield maps
    finally:
        handle.remove()


def _feature_maps(output: Any) -> list[Tensor]:
    """What a neck or backbone gave out, as a list of maps [B, C, h, w]."""
    maps = [output] if isinstance(output, Tensor) else output
    if isinstance(maps, list | tuple) and all(isinstance(m, Tensor) and m.ndim == 4 for m in maps):
        return list(maps)
    raise ConfigError(
        f"the detector's neck gives {type(output).__name__} and no plain list of feature maps: "
        "leave feature_weight at 0 for this detector"
    )


@contextmanager
def _heads_training(detector: nn.Module) -> Iterator[None]:
    """Tell what computes a loss that it is asked for one.

    In eval mode FCOS scales its boxes, SOLO thins its scores and DINO leaves out its denoising
    queries: their losses would be wrong, or fail. The layers below (batch norm, dropout) stay
    in eval mode. Losses that keep statistics (GHM, Seesaw) do so in copies, which are dropped.
    """
    heads = [module for module in detector.modules() if hasattr(module, "loss")]
    before = [head.training for head in heads]
    kept = {part: dict(part._buffers) for head in heads for part in head.modules()}
    try:
        for head in heads:
            head.training = True
        for part, buffers in kept.items():
            part._buffers.update({n: v if v is None else v.clone() for n, v in buffers.items()})
        yield
    finally:
        for head, mode in zip(heads, before, strict=True):
            head.training = mode
        for part, buffers in kept.items():
            part._buffers.update(buffers)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the two lines that mmengine prints for each parameter."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _build(model: ConfigDict) -> Any:
    with _mmdet_scope():
        detector = MMDET_MODELS.build(model)
    preprocessor = detector.data_preprocessor
    if type(preprocessor) is not DetDataPreprocessor:
        raise ConfigError(
            f"{type(detector).__name__} prepares its pictures by {type(preprocessor).__name__}: "
            "only detectors with mmdet's DetDataPreprocessor stand behind a decoder"
        )
    return detector


def _rescaled_sample(given: Any, size: torch.Size, with_truth: bool, masks: bool) -> DetDataSample:
    height, width = given.img_shape[:2]
    scale = (size[1] / width, size[0] / height)
    sample = DetDataSample(
        metainfo={
            "img_id": given.metainfo.get("img_id"),
            "ori_shape": (height, width),
            "scale_factor": scale,
        }
    )
    if not with_truth:
        return sample
    picture = given.metainfo.get("img_path", given.metainfo.get("img_id"))
    if "gt_instances" not in given or "bboxes" not in given.gt_instances:
        raise DataError(
            f"picture {picture} has no boxes: "
            "a detector's loss needs LoadAnnotations in the training pipeline"
        )
    sample.gt_instances = _rescaled_instances(given.gt_instances, scale, size, masks)
    sample.ignored_instances = _rescaled_instances(given.ignored_instances, scale, size, masks)
    return sample


def _rescaled_instances(
    given: InstanceData, scale: tuple[float, float], size: torch.Size, masks: bool
) -> InstanceData:
    instances = InstanceData(**{k: v for k, v in given.items() if masks or k != "masks"})
    if "bboxes" in instances:
        boxes = get_box_tensor(instances.bboxes)
        instances.bboxes = boxes * boxes.new_tensor([*scale, *scale])
    if "masks" in instances:
        found = instances.masks
        if (found.height, found.width) != tuple(size):
            instances.masks = found.resize(tuple(size))
    return instances
