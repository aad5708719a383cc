"""From decoded pictures to a network's input, with a gradient: resize, padding, normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.errors import DataError


class NetworkInput(NamedTuple):
    """What a network takes.

    Attributes:
        inputs: float32 [B, 3, H, W], contiguous, normalised as the network was trained.
        samples: One data sample per picture, with the sizes and the ground truth of ``inputs``.
    """

    inputs: Tensor
    samples: list[Any]


class Geometry:
    """Resizes, pads and normalises pictures as a network's test pipeline does.

    Every step is differentiable with respect to the pictures.

    .. code-block:: none

        x_hat --> true size --> resize --> pad --> normalise --> batch

    Args:
        preprocessor: The network's own, for its mean and standard deviation.
        resize: Arguments of mmdet's ``Resize``; ``None`` for native resolution.
        pad: Arguments of mmdet's ``Pad``; ``None`` for no padding.
        swaps: Whether the preprocessor swaps channels. OpenMMLab loads BGR: a network whose
            preprocessor swaps them wants RGB, which is what there is here.
        divisor: The batch's sides are multiples of it.
        fill: Of the batch's padding, after the normalisation.
    """

    def __init__(
        self,
        preprocessor: Any,
        resize: dict[str, Any] | None,
        pad: dict[str, Any] | None,
        swaps: bool,
        divisor: int,
        fill: float,
    ) -> None:
        self.preprocessor = preprocessor
        self.resize, self.pad = resize, pad
        self.swaps, self.divisor, self.fill = swaps, divisor, fill

    def prepare(self, x_hat: Tensor, data_samples: list[Any], with_truth: bool) -> NetworkInput:
        """Prepare a batch.

        Args:
            x_hat: Pictures, float [B, 3, H, W], RGB in [0, 1], padded.
            data_samples: mmdet data samples at native resolution; they stay as they are.
            with_truth: Take the ground truth along, in the coordinates of the result.

        Raises:
            DataError: When ground truth is asked for and a picture has none, or lacks what the
                loss needs.
        """
        pictures, samples = [], []
        for picture, given in zip(x_hat, data_samples, strict=True):
            height, width = given.img_shape[:2]
            scaled = resized(picture[None, :, :height, :width], self.resize)
            pictures.append(self._normalise(padded(scaled, self.pad)))
            samples.append(self._sample(given, scaled.shape[-2:], with_truth))
        inputs = self._batch(pictures)
        for picture, sample in zip(pictures, samples, strict=True):
            self._note_sizes(sample, tuple(picture.shape[-2:]), tuple(inputs.shape[-2:]))
        return NetworkInput(inputs, samples)

    def _sample(self, given: Any, size: torch.Size, with_truth: bool) -> Any:
        """A data sample of a picture resized to ``size``."""
        raise NotImplementedError

    def _note_sizes(self, sample: Any, shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
        """Write a picture's size, which includes the pipeline's padding, and the batch's."""
        sample.set_metainfo({"img_shape": shape, "pad_shape": shape, "batch_input_shape": batch})

    def _normalise(self, picture: Tensor) -> Tensor:
        if not self.swaps:
            picture = picture.flip(1)
        picture = 255 * picture
        if self.preprocessor._enable_normalize:
            picture = (picture - self.preprocessor.mean) / self.preprocessor.std
        return picture

    def _batch(self, pictures: list[Tensor]) -> Tensor:
        height, width = (max(p.shape[axis] for p in pictures) for axis in (-2, -1))
        height, width = height + -height % self.divisor, width + -width % self.divisor
        batch = [
            F.pad(p, (0, width - p.shape[-1], 0, height - p.shape[-2]), value=self.fill)
            for p in pictures
        ]
        # mmcv's CPU RoIAlign silently returns garbage for channels_last or half-precision maps:
        # the network gets contiguous float32, whatever the codec's memory format is.
        return torch.cat(batch).float().contiguous(memory_format=torch.contiguous_format)


class DetectorGeometry(Geometry):
    """The geometry of a detector of mmdet; see :class:`Geometry`.

    Args:
        preprocessor: The detector's own: channel order, mean, standard deviation, divisor.
        resize: See :class:`Geometry`.
        pad: See :class:`Geometry`.
        masks: Hand on the masks of the ground truth; some box detectors fail on them.
        needs_masks: Whether the detector's loss needs a mask of every object.
    """

    def __init__(
        self,
        preprocessor: DetDataPreprocessor,
        resize: dict[str, Any] | None,
        pad: dict[str, Any] | None,
        masks: bool,
        needs_masks: bool,
    ) -> None:
        divisor, fill = preprocessor.pad_size_divisor, float(preprocessor.pad_value)
        swaps = preprocessor._channel_conversion
        super().__init__(preprocessor, resize, pad, swaps, divisor, fill)
        self.masks, self.needs_masks = masks, needs_masks

    def _sample(self, given: Any, size: torch.Size, with_truth: bool) -> DetDataSample:
        sample = rescaled_sample(given, size, with_truth, self.masks)
        if with_truth and self.needs_masks:
            _require_masks(sample, given)
        return sample

    def _note_sizes(self, sample: Any, shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
        super()._note_sizes(sample, shape, batch)
        if "gt_instances" in sample and "masks" in sample.gt_instances:
            sample.gt_instances.masks = sample.gt_instances.masks.pad(batch)


def _require_masks(sample: DetDataSample, given: Any) -> None:
    if len(sample.gt_instances) and "masks" not in sample.gt_instances:
        raise DataError(
            f"picture {given.metainfo.get('img_path')} has objects without a mask, and this "
            "task's loss needs masks: give every object a segmentation, or train through a "
            "detector of boxes"
        )


def rescaled_sample(given: Any, size: torch.Size, with_truth: bool, masks: bool) -> DetDataSample:
    """A data sample for a picture resized to ``size``, with or without its ground truth.

    Raises:
        DataError: When the ground truth is asked for and there is none.
    """
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
    if "gt_instances" not in given or "bboxes" not in given.gt_instances:
        picture = given.metainfo.get("img_path", given.metainfo.get("img_id"))
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
        native = instances.masks
        if (native.height, native.width) != tuple(size):
            instances.masks = native.resize(tuple(size))
    return instances


def geometry_of(pipeline: Iterable[Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The arguments of ``Resize`` and of ``Pad`` in a test pipeline, each ``None`` if absent."""
    steps = {step["type"].rsplit(".", 1)[-1]: step for step in pipeline}
    resize = steps.get("Resize")
    if resize is not None:
        keep = resize.get("keep_ratio", False)
        resize = {"scale": tuple(resize["scale"]), "keep_ratio": keep}
    pad = steps.get("Pad")
    return resize, {k: v for k, v in pad.items() if k != "type"} if pad is not None else None


def resized(picture: Tensor, resize: dict[str, Any] | None) -> Tensor:
    """Resize a picture [1, 3, H, W] as mmdet's ``Resize`` does; unchanged for ``None``."""
    if resize is None:
        return picture
    size = target_size(picture.shape[-2:], resize)
    if size == tuple(picture.shape[-2:]):
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False)


def target_size(size: torch.Size, resize: dict[str, Any]) -> tuple[int, int]:
    """Height and width after mmdet's ``Resize``, whose ``scale`` is (width, height)."""
    height, width = size
    if not resize.get("keep_ratio", True):
        return int(resize["scale"][1]), int(resize["scale"][0])
    long, short = max(resize["scale"]), min(resize["scale"])
    factor = min(long / max(height, width), short / min(height, width))
    # mmcv would leave no row of a very long picture, and fail: keep one.
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def padded(picture: Tensor, pad: dict[str, Any] | None) -> Tensor:
    """Pad a picture [1, 3, H, W], RGB in [0, 1], as ``Pad`` of mmdet does, or not for ``None``."""
    if pad is None:
        return picture
    height, width = picture.shape[-2:]
    tall, wide = height, width
    if pad.get("pad_to_square"):
        tall = wide = max(height, width)
    if pad.get("size_divisor"):
        tall, wide = (side + -side % pad["size_divisor"] for side in (tall, wide))
    elif pad.get("size"):
        wide, tall = (max(a, b) for a, b in zip(pad["size"], (width, height), strict=True))
    colour = pad.get("pad_val", 0)
    colour = colour.get("img", 0) if isinstance(colour, dict) else colour
    bgr = picture.new_tensor(colour).expand(3) / 255  # OpenMMLab's order
    canvas = bgr.flip(0).view(1, 3, 1, 1).repeat(1, 1, tall, wide)
    canvas[..., :height, :width] = picture
    return canvas
