"""The adapter for action recognition by mmaction2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.detector_config import read_recognizer
from vcm_mt.models.tasks.detector_modes import heads_training, quietly, running
from vcm_mt.models.tasks.geometry import resized
from vcm_mt.models.tasks.mmaction_import import import_mmaction
from vcm_mt.registry import MODELS

_SCOPE = "mmaction"


@MODELS.register_module()
class MMActionTask(Task):
    """A recogniser of actions in clips behind the decoder, such as SlowFast.

    .. code-block:: none

        frames of a clip --> resize, crop --> normalise --> stack --> recogniser --> L_task

    Frames are sampled, resized and cropped as the recogniser's test pipeline does; every step
    passes the gradient on to the frames. Training takes one clip, cropped at the centre. The truth
    is ``action`` in the metainfo of the data samples, the number of the clip's class.

    Args:
        recognizer: ``mmaction::...`` or ``vcm_mt::...`` name or path of a config, or a dict with
            its ``model`` and ``test_pipeline``.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`); ``None`` for random
            ones.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Attributes:
        frames: Frames of a clip.

    Raises:
        ConfigError: If mmaction2 is not installed, the config has no recogniser or no sampling of
            frames, or the weights belong to another one.
    """

    def __init__(
        self,
        recognizer: str | dict[str, Any],
        checkpoint: str | None = None,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        self._mmaction = import_mmaction()
        plan = read_recognizer(recognizer)
        with running(torch.empty(0), _SCOPE):
            self.recognizer = self._mmaction.registry.MODELS.build(plan.model)
        if checkpoint:
            load_strictly(self.recognizer, read_state_dict(checkpoint), checkpoint)
        else:
            with quietly():
                self.recognizer.init_weights()
        self._geometry = ClipGeometry(self.recognizer.data_preprocessor, plan.test_pipeline)
        self._sampling = _sampling(plan.test_pipeline)
        self.frames = int(self._sampling.clip_len)
        self._video = _Video()

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:  # noqa: ARG002
        """The recogniser's training losses on decoded clips; see :meth:`Task.loss`.

        Args:
            x_hat: The frames of clips, one clip after another, float [B * T, 3, H, W].
            x: Not used.
            data_samples: With ``clip_place`` and ``action`` in their metainfo.

        Raises:
            DataError: If clips have another length than the recogniser's, or no class.
        """
        clips = _clips(data_samples, self.frames)
        inputs = torch.stack([self._geometry.clip(_seen(x_hat, data_samples, c)) for c in clips])
        samples = [self._labelled(data_samples[clip[0]]) for clip in clips]
        with running(inputs, _SCOPE), heads_training(self.recognizer):
            losses = self.recognizer.loss(inputs, samples)
        return {name: value.mean() for name, value in losses.items() if "loss" in name}

    def _labelled(self, data_sample: Any) -> Any:
        action = data_sample.metainfo.get("action")
        if action is None:
            raise DataError(
                f"{data_sample.metainfo.get('img_path')} is of no action: the data set's videos "
                "need an action_id, and vcm_mt.PackFrame must be at the end of the pipeline"
            )
        known = self.recognizer.cls_head.num_classes
        if not 0 <= action < known:
            raise DataError(f"action number {action}, and the recogniser knows {known}")
        return self._mmaction.structures.ActionDataSample().set_gt_label(int(action))

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData | None]:
        """What happens in a video, with its last frame; ``None`` with each frame before.

        Args:
            x_hat: Frames in order, float [B, 3, H, W], RGB in [0, 1].
            data_samples: With ``video_id``, ``frame_id`` and ``video_length``, the number of the
                video's frames, in their metainfo.

        Returns:
            ``scores``, float [1, C], the classes' probabilities, and ``labels``, int64 [1], the
            likeliest.

        Raises:
            ConfigError: If a data sample is of no video.
            DataError: If a frame does not follow the one before it.
        """
        return [
            self._next(x_hat[number : number + 1], sample)
            for number, sample in enumerate(data_samples)
        ]

    def _next(self, frame: Tensor, sample: Any) -> InstanceData | None:
        place = [sample.metainfo.get(n) for n in ("video_id", "frame_id", "video_length")]
        if None in place:
            raise ConfigError(
                "actions need the frames of a video: a VideoDataset, and vcm_mt.PackFrame at the "
                "end of its pipeline"
            )
        video, number, length = place
        if number == 0:
            self._video = _Video(video, self._sampled(length))
        self._video.take(video, number, _cut(frame, sample), self._geometry)
        if number + 1 < length:
            return None
        inputs = torch.cat([self._geometry.views(clip) for clip in self._video.clips()])[None]
        with running(inputs, _SCOPE):
            data_sample = self._mmaction.structures.ActionDataSample()
            (found,) = self.recognizer.predict(inputs, [data_sample])
        scores = found.pred_score
        return InstanceData(scores=scores[None], labels=scores.argmax()[None])

    def _sampled(self, length: int) -> list[list[int]]:
        """The frames of each clip of a video, by their numbers."""
        told = self._sampling({"total_frames": length, "start_index": 0, "modality": "RGB"})
        clips: list[list[int]] = told["frame_inds"].reshape(-1, self.frames).tolist()
        return clips


class _Video:
    """The frames of a video that its clips need, as they come in."""

    def __init__(self, video: Any = None, clips: Sequence[Sequence[int]] = ()) -> None:
        self._id, self._clips, self._next = video, clips, 0
        self._needed = {number for clip in clips for number in clip}
        self._frames: dict[int, Tensor] = {}

    def take(self, video: Any, number: int, frame: Tensor, geometry: ClipGeometry) -> None:
        if (video, number) != (self._id, self._next):
            raise DataError(
                f"frame {number} of video {video} does not follow frame {self._next - 1} of video "
                f"{self._id}: actions need whole videos in order, in one process"
            )
        self._next += 1
        if number in self._needed:
            self._frames[number] = geometry.small(frame)

    def clips(self) -> list[Tensor]:
        """Each [T, 3, h, w]."""
        return [torch.cat([self._frames[number] for number in clip]) for clip in self._clips]


class _Crop(NamedTuple):
    """``height`` and ``width`` of what is cut out; three times where ``three`` is set."""

    height: int
    width: int
    three: bool


class ClipGeometry:
    """Resizes, crops and normalises clips as a recogniser's test pipeline does.

    Args:
        preprocessor: The recogniser's.
        pipeline: Its test pipeline.
    """

    def __init__(self, preprocessor: Any, pipeline: Sequence[Any]) -> None:
        self.preprocessor = preprocessor
        steps = {step["type"].rsplit(".", 1)[-1]: step for step in pipeline}
        self.resize = _resize(steps.get("Resize"))
        self.crop = _crop(steps)

    def small(self, frame: Tensor) -> Tensor:
        """A frame [1, 3, H, W] resized to [1, 3, h, w]."""
        return resized(frame, self.resize)

    def clip(self, frames: Sequence[Tensor]) -> Tensor:
        """Frames, each [1, 3, H, W], as one view of a clip: [1, 3, T, h, w], or [T, 3, h, w]."""
        clip = torch.cat([self.small(frame) for frame in frames])
        return self._normalised(self._cropped(clip)[-1])  # the centre is last

    def views(self, clip: Tensor) -> Tensor:
        """A resized clip [T, 3, h, w] as its views, one after another."""
        return torch.cat([self._normalised(one) for one in self._cropped(clip)])

    def _cropped(self, clip: Tensor) -> list[Tensor]:
        if self.crop is None:
            return [clip]
        height, width = self.crop.height, self.crop.width
        free = clip.shape[-2] - height, clip.shape[-1] - width
        if min(free) < 0:
            raise DataError(
                f"frames are {clip.shape[-1]}x{clip.shape[-2]} after the recogniser's resize, and "
                f"its crops {width}x{height}"
            )
        half = free[0] // 2, free[1] // 2
        places = [half]
        if self.crop.three:
            places = [(0, 0), (2 * half[0], 2 * half[1]), half]
        return [clip[..., top : top + height, left : left + width] for top, left in places]

    def _normalised(self, clip: Tensor) -> Tensor:
        if self.preprocessor.to_rgb:  # it swaps what mmaction2 loads, which is RGB
            clip = clip.flip(1)
        clip = 255 * clip
        if self.preprocessor.format_shape == "NCTHW":
            clip = clip.transpose(0, 1)[None]
        if self.preprocessor._enable_normalize:
            clip = (clip - self.preprocessor.mean) / self.preprocessor.std
        return clip


def _sampling(pipeline: Sequence[Any]) -> Any:
    """mmaction2's own sampling of frames."""
    steps = [s for s in pipeline if s["type"].endswith("SampleFrames")]
    if not steps:
        raise ConfigError("the recogniser's test pipeline has no SampleFrames")
    from mmaction.registry import TRANSFORMS

    sampling: Any = TRANSFORMS.build({**steps[0], "test_mode": True})
    return sampling


def _resize(step: Any) -> dict[str, Any] | None:
    if step is None:
        return None
    scale = tuple(math.inf if side == -1 else side for side in step["scale"])
    return {"scale": scale, "keep_ratio": step.get("keep_ratio", True)}


def _crop(steps: dict[str, Any]) -> _Crop | None:
    for name in ("ThreeCrop", "CenterCrop"):
        if name in steps:
            size = steps[name]["crop_size"]
            width, height = (size, size) if isinstance(size, int) else size
            return _Crop(height, width, name == "ThreeCrop")
    return None


def _clips(data_samples: Sequence[Any], frames: int) -> list[list[int]]:
    """The samples' numbers, by clip."""
    clips: list[list[int]] = []
    for number, sample in enumerate(data_samples):
        if not clips or sample.metainfo.get("clip_place", 0) == 0:
            clips.append([])
        clips[-1].append(number)
    for clip in clips:
        if len(clip) != frames:
            raise DataError(
                f"a clip has {len(clip)} frames, and the recogniser takes {frames}: use "
                f"ClipDataset(frames={frames}, step=...), and videos that are long enough"
            )
    return clips


def _seen(x_hat: Tensor, data_samples: Sequence[Any], clip: Sequence[int]) -> list[Tensor]:
    return [_cut(x_hat[number : number + 1], data_samples[number]) for number in clip]


def _cut(frame: Tensor, data_sample: Any) -> Tensor:
    """A frame without its padding."""
    height, width = data_sample.img_shape[:2]
    return frame[..., :height, :width]
