"""The adapter for semantic segmentation by mmsegmentation."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.detector_config import read_segmentor
from vcm_mt.models.tasks.detector_modes import heads_training, quietly, running
from vcm_mt.models.tasks.fast_detector import Switches
from vcm_mt.models.tasks.geometry import Geometry, geometry_of
from vcm_mt.models.tasks.network import NetworkTask
from vcm_mt.registry import MODELS

#: Pixels of no class, in mmsegmentation's maps.
IGNORED = 255


@MODELS.register_module()
class MMSegTask(NetworkTask):
    """A segmenter that gives every pixel a class, behind the decoder; see :class:`NetworkTask`.

    Resize, channel order, normalisation and padding of the segmenter are applied to the decoded
    picture, and pass the gradient on. Ground truth is ``gt_sem_seg`` of the data samples, a map of
    class numbers at native resolution with 255 where there is none.

    Args:
        segmentor: ``mmseg::...`` or ``vcm_mt::...`` name or path of a config, or a dict with the
            model's config itself: an ``EncoderDecoder``.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`); ``None`` for
            random ones.
        resize: See :class:`vcm_mt.models.tasks.MMDetTask`.
        loss_weight: See :class:`NetworkTask`.
        feature_weight: See :class:`NetworkTask`; all of a picture counts.
        amp: Precision of backbone and neck in training; see
            :class:`vcm_mt.models.tasks.MMDetTask`, as for ``fold`` and ``checkpoint_activations``.
        truth: See :class:`NetworkTask`; predictions have no score here.
        remember: See :class:`NetworkTask`.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Raises:
        ConfigError: If mmsegmentation is not installed, the config contains no segmenter, the
            weights belong to another one, or both factors are 0.
    """

    scope = "mmseg"

    def __init__(
        self,
        segmentor: str | dict[str, Any],
        checkpoint: str | None = None,
        resize: dict[str, Any] | None = None,
        loss_weight: float = 1.0,
        feature_weight: float = 0.0,
        amp: bool | str = False,
        fold: bool = False,
        checkpoint_activations: bool = False,
        truth: str = "labels",
        remember: int = 0,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        switches = Switches(amp, fold, False, checkpoint_activations)
        super().__init__(
            loss_weight, feature_weight, 1.0, truth, 0.0, remember, switches, weight, receiver
        )
        registry = _mmsegs_models()
        plan = read_segmentor(segmentor)
        with running(torch.empty(0), self.scope):
            self.segmentor = registry.build(plan.model)
        if not hasattr(self.segmentor, "decode_head"):
            raise ConfigError(f"{type(self.segmentor).__name__} is no segmenter with a decode_head")
        if checkpoint:
            load_strictly(self.segmentor, read_state_dict(checkpoint), checkpoint)
        else:
            with quietly():
                self.segmentor.init_weights()
        own_resize, _ = geometry_of(plan.test_pipeline)
        self.geometry = _SegmentorGeometry(self.segmentor.data_preprocessor, resize or own_resize)

    @property
    def network(self) -> Any:
        """The segmenter."""
        return self.segmentor

    @property
    def num_classes(self) -> int:
        """How many classes the segmenter knows."""
        number: int = self.segmentor.num_classes
        return number

    def _own_loss(
        self,
        network: Any,
        inputs: Tensor,
        samples: list[Any],
        data_samples: list[Any],
    ) -> dict[str, Tensor]:
        if not self.loss_weight:
            network.extract_feat(inputs)
            return {}
        for sample, given in zip(samples, data_samples, strict=True):
            _require_classes(sample.gt_sem_seg.data, self.num_classes, given)
        with heads_training(network):
            losses = network.loss(inputs, samples)
        return {
            name: self.loss_weight * torch.stack([one.mean() for one in _listed(value)]).sum()
            for name, value in losses.items()
            if "loss" in name
        }

    def _foreground(self, samples: list[Any], inputs: Tensor) -> Tensor:
        return inputs.new_ones(len(samples), 1, 1, 1)

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[PixelData]:
        """``data``, int64 [1, H, W]: each pixel's class at native resolution; one per picture."""
        found = []
        for picture, sample in zip(x_hat, data_samples, strict=True):
            inputs, samples = self.geometry.prepare(picture[None], [sample], with_truth=False)
            with running(inputs, self.scope):
                (result,) = self.segmentor.predict(inputs, samples)
            found.append(result.pred_sem_seg)
        return found

    def _predicted(self, x: Tensor, data_sample: Any, score: float | None = None) -> PixelData:  # noqa: ARG002
        (found,) = self.predict(x, [data_sample])
        return found

    def _with_truth(self, data_sample: Any, truth: PixelData) -> Any:
        sample = data_sample.clone()
        sample.gt_sem_seg = truth
        return sample


class _SegmentorGeometry(Geometry):
    """The geometry of a segmenter; ground truth is resized by the nearest neighbour."""

    def __init__(self, preprocessor: Any, resize: dict[str, Any] | None) -> None:
        divisor = (preprocessor.test_cfg or {}).get("size_divisor") or 1
        fill = float(preprocessor.pad_val)
        swaps = preprocessor.channel_conversion
        super().__init__(preprocessor, resize, None, swaps, divisor, fill)

    def _sample(self, given: Any, size: torch.Size, with_truth: bool) -> DetDataSample:
        sample = DetDataSample(metainfo={"ori_shape": tuple(given.img_shape[:2])})
        if with_truth:
            native = semantic_map(given)
            small = F.interpolate(native[None].float(), tuple(size)).long()[0]
            sample.gt_sem_seg = PixelData(data=small)
        return sample

    def _note_sizes(self, sample: Any, shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
        super()._note_sizes(sample, shape, batch)
        right, bottom = batch[1] - shape[1], batch[0] - shape[0]
        # left, right, top, bottom, which mmsegmentation cuts off its predictions
        sample.set_metainfo({"pad_shape": batch, "padding_size": [0, right, 0, bottom]})
        if "gt_sem_seg" in sample:
            padded = F.pad(sample.gt_sem_seg.data, (0, right, 0, bottom), value=IGNORED)
            sample.gt_sem_seg = PixelData(data=padded)


def semantic_map(data_sample: Any) -> Tensor:
    """The ground truth of a data sample as mmdet or mmsegmentation packs it, [1, H, W].

    Raises:
        DataError: If there is none, or it has another size than the picture.
    """
    picture = data_sample.metainfo.get("img_path", data_sample.metainfo.get("img_id"))
    kept = data_sample.get("gt_sem_seg")
    if kept is None:
        raise DataError(
            f"picture {picture} has no map of classes: a semantic task needs vcm_mt.SemanticMap, "
            "or LoadAnnotations with with_seg=True, in the pipeline"
        )
    found: Tensor = kept.get("sem_seg", kept.get("data"))
    if tuple(found.shape[-2:]) != tuple(data_sample.img_shape[:2]):
        raise DataError(
            f"picture {picture} is {data_sample.img_shape[:2]} high and wide, and its map of "
            f"classes {tuple(found.shape[-2:])}"
        )
    return found


def _require_classes(labels: Tensor, known: int, data_sample: Any) -> None:
    there = labels[labels != IGNORED]
    if there.numel() and int(there.max()) >= known:
        raise DataError(
            f"the map of {data_sample.metainfo.get('img_path')} has class number "
            f"{int(there.max())}, and the segmenter knows {known}"
        )


def _listed(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _mmsegs_models() -> Any:
    """The registry of mmsegmentation's models.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        with redirect_stdout(io.StringIO()):  # it prints which data sets it does without
            import mmseg.models
    except ImportError as error:
        raise ConfigError(
            f"MMSegTask needs mmsegmentation ({error}): pip install 'vcm_mt[seg]'"
        ) from error
    registry: Any = mmseg.registry.MODELS
    return registry
