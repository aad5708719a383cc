"""Any detector of mmdet's as a frozen task; the only place that touches mmdet's models."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.draws import drawing_by_picture, hand_seed, samplers_of
from vcm_mt.models.tasks.features import boxes_to_map, feature_distance
from vcm_mt.models.tasks.running import QuickDetector, Switches
from vcm_mt.registry import MODELS


@MODELS.register_module()
class MMDetTask(Task):
    """A detector or instance segmenter behind the decoder.

    The detector's own resize, channel order, normalisation and padding are done here, on
    the decoded picture, and pass the gradient on (design: the codec sees native pixels).

    .. code-block:: none

        x_hat --> true size --> resize --> normalise --> pad --> detector --> loss, boxes

    Args:
        detector: ``mmdet::...`` name or path of a config, or a dict with the model's
            config itself.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`), or ``None``
            for random ones.
        resize: ``scale`` (long and short side in pixels) and ``keep_ratio`` of the resize in
            front of the detector. By default that of the config's test pipeline; for a
            model dict, native resolution.
        feature_weight: Factor of :func:`feature_distance` of the neck's maps, which is added
            to the detector's own loss: a dense signal, where the detector's loss samples a few
            boxes. 0 leaves it out.
        feature_background: Weight of what lies outside the true boxes in that distance, in
            [0, 1].
        amp: Train through backbone and neck in bfloat16 (``True``, ``"bf16"``) or float16
            (``"fp16"``, on a GPU). Heads, RoIAlign and losses stay in float32.
        fold: Train through a backbone whose batch norms are folded into its convolutions.
        quick_roi_align: On a CPU, train through :class:`.roi_align.QuickRoIAlign`.
        checkpoint_activations: Compute the backbone's maps again for the gradient, block by
            block, rather than keep them: less memory for more time.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Raises:
        ConfigError: When the config has no detector, or the weights are another one's.
    """

    def __init__(
        self,
        detector: str | dict[str, Any],
        checkpoint: str | None = None,
        resize: dict[str, Any] | None = None,
        feature_weight: float = 0.0,
        feature_background: float = 1.0,
        amp: bool | str = False,
        fold: bool = False,
        quick_roi_align: bool = False,
        checkpoint_activations: bool = False,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        self.feature_weight = feature_weight
        self.feature_background = feature_background
        self.amp = amp
        self.quick = QuickDetector(Switches(amp, fold, quick_roi_align, checkpoint_activations))
        model, own_resize = _read_config(detector)
        self.resize = resize or own_resize
        self.detector = _build(model)
        if checkpoint:
            load_strictly(self.detector, read_state_dict(checkpoint), checkpoint)
        else:
            with _quietly():
                self.detector.init_weights()
        self._samplers = samplers_of(self.detector)

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The detector's training losses on decoded pictures; see :meth:`Task.loss`."""
        inputs, samples = self._prepare(x_hat, data_samples, with_truth=True)
        for given, sample in zip(data_samples, samples, strict=True):
            hand_seed(given, sample)
        detector = self.quick.of(self.detector)
        draws = drawing_by_picture(self._samplers)
        with _running(inputs), draws, _maps_of(detector) as maps:
            losses = detector.loss(inputs, samples)
        parts = {
            # As mmengine adds them up; a mask's loss comes with a dimension of one.
            name: value.mean() if isinstance(value, Tensor) else sum(v.mean() for v in value)
            for name, value in losses.items()
            if "loss" in name
        }
        if self.feature_weight:
            if x is None:
                raise ConfigError(
                    "feature_weight compares with the original pictures, and there are none: "
                    "set it to 0 to train from bitstreams alone"
                )
            with torch.no_grad():
                originals, _ = self._prepare(x, data_samples, with_truth=False)
                with _running(originals):
                    wanted = detector.extract_feat(originals)
            boxes = [get_box_tensor(sample.gt_instances.bboxes) for sample in samples]
            objects = boxes_to_map(boxes, inputs.shape[-2:], inputs)
            distance = feature_distance(maps[0], wanted, objects, self.feature_background)
            parts["loss_feature"] = self.feature_weight * distance
        return parts

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Train through a compiled backbone and neck."""
        self.quick = QuickDetector(self.quick.switches._replace(compile=True))

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData]:
        """Boxes (and masks) in native coordinates; see :meth:`Task.predict`."""
        inputs, samples = self._prepare(x_hat, data_samples, with_truth=False)
        with _running(inputs):
            results = self.detector.predict(inputs, samples, rescale=True)
        return [result.pred_instances for result in results]

    def _prepare(
        self, x_hat: Tensor, data_samples: list[Any], with_truth: bool
    ) -> tuple[Tensor, list[DetDataSample]]:
        pictures, samples = [], []
        for picture, given in zip(x_hat, data_samples, strict=True):
            height, width = given.img_shape[:2]
            native = picture[None, :, :height, :width]
            picture_in = self._normalise(self._resize(native))
            pictures.append(picture_in)
            samples.append(_rescaled_sample(given, picture_in.shape[-2:], with_truth))
        inputs = self._batch(pictures)
        for picture_in, sample in zip(pictures, samples, strict=True):
            sample.set_metainfo(
                {"batch_input_shape": inputs.shape[-2:], "pad_shape": picture_in.shape[-2:]}
            )
            if with_truth and "masks" in sample.gt_instances:
                masks = sample.gt_instances.masks
                sample.gt_instances.masks = masks.pad(tuple(inputs.shape[-2:]))
        return inputs, samples

    def _resize(self, picture: Tensor) -> Tensor:
        if self.resize is None:
            return picture
        size = _target_size(picture.shape[-2:], self.resize)
        if size == tuple(picture.shape[-2:]):
            return picture
        return F.interpolate(picture, size, mode="bilinear", align_corners=False)

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
        padded = [
            F.pad(p, (0, width - p.shape[-1], 0, height - p.shape[-2]), value=_pad(preprocessor))
            for p in pictures
        ]
        # mmcv's CPU RoIAlign silently returns garbage for channels_last or half-precision
        # feature maps: whatever the codec's memory format was, the detector gets this one.
        return torch.cat(padded).float().contiguous(memory_format=torch.contiguous_format)


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


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the two lines that mmengine prints for each parameter."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _read_config(detector: str | dict[str, Any]) -> tuple[ConfigDict, dict[str, Any] | None]:
    if isinstance(detector, str):
        try:
            config = (
                Config.fromfile(detector)
                if "::" not in detector
                else _config_from_package(detector)
            )
        except (OSError, FileNotFoundError) as error:
            raise ConfigError(f"no detector config at {detector!r}: {error}") from error
        if "model" not in config:
            raise ConfigError(f"{detector} is no detector's config: it has no `model`")
        return copy.deepcopy(config.model), _test_resize(config)
    if "type" not in detector:
        raise ConfigError("a detector given as a dict needs the `type` of an mmdet model")
    return ConfigDict(copy.deepcopy(detector)), None


def _config_from_package(name: str) -> Config:
    from mmengine.hub import get_config

    return get_config(name)


def _test_resize(config: Config) -> dict[str, Any] | None:
    pipeline = config.get("test_pipeline") or config.test_dataloader.dataset.pipeline
    for transform in pipeline:
        if transform["type"].rsplit(".", 1)[-1] == "Resize":
            return {
                "scale": tuple(transform["scale"]),
                "keep_ratio": transform.get("keep_ratio", False),
            }
    return None


def _build(model: ConfigDict) -> Any:
    _drop_pretrained(model)
    model.pop("_scope_", None)
    with _mmdet_scope():
        return MMDET_MODELS.build(model)


def _drop_pretrained(config: Any) -> None:
    """Remove orders to download a backbone: a detector's own weights hold it."""
    if isinstance(config, dict):
        init = config.get("init_cfg")
        if isinstance(init, dict) and init.get("type") == "Pretrained":
            config["init_cfg"] = None
        if isinstance(config.get("pretrained"), str):
            config["pretrained"] = None
        for value in config.values():
            _drop_pretrained(value)
    elif isinstance(config, list | tuple):
        for value in config:
            _drop_pretrained(value)


def _target_size(size: torch.Size, resize: dict[str, Any]) -> tuple[int, int]:
    """Height and width after mmdet's ``Resize``; ``scale`` is its (width, height)."""
    height, width = size
    if not resize.get("keep_ratio", True):
        return int(resize["scale"][1]), int(resize["scale"][0])
    long, short = max(resize["scale"]), min(resize["scale"])
    factor = min(long / max(height, width), short / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def _rescaled_sample(given: Any, size: torch.Size, with_truth: bool) -> DetDataSample:
    height, width = given.img_shape[:2]
    scale = (size[1] / width, size[0] / height)
    sample = DetDataSample(
        metainfo={
            "img_id": given.metainfo.get("img_id"),
            "ori_shape": (height, width),
            "img_shape": tuple(size),
            "scale_factor": scale,
        }
    )
    if not with_truth:
        return sample
    if "gt_instances" not in given or "bboxes" not in given.gt_instances:
        raise DataError(
            f"picture {given.metainfo.get('img_path', given.metainfo.get('img_id'))} has no boxes: "
            "a detector's loss needs LoadAnnotations in the training pipeline"
        )
    sample.gt_instances = _rescaled_instances(given.gt_instances, scale, size)
    sample.ignored_instances = _rescaled_instances(given.ignored_instances, scale, size)
    return sample


def _rescaled_instances(
    given: InstanceData, scale: tuple[float, float], size: torch.Size
) -> InstanceData:
    instances = copy.copy(given)
    if "bboxes" in instances:
        boxes = get_box_tensor(instances.bboxes)
        instances.bboxes = boxes * boxes.new_tensor([*scale, *scale])
    if "masks" in instances:
        masks = instances.masks
        if (masks.height, masks.width) != tuple(size):
            instances.masks = masks.resize(tuple(size))
    return instances
