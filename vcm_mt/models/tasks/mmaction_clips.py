"""Clips of decoded frames for networks of mmaction2: which frames, and of what size."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.geometry import resized

#: The scope of mmaction2's registries.
SCOPE = "mmaction"


class Place(NamedTuple):
    """Where a frame belongs: ``number`` counts from 0 in a video of ``length`` frames."""

    video: Any
    number: int
    length: int


def place_of(data_sample: Any) -> Place:
    """The place of a data sample's frame.

    Raises:
        ConfigError: If it is of no video.
    """
    names = ("video_id", "frame_id", "video_length")
    told = [data_sample.metainfo.get(name) for name in names]
    if None in told:
        raise ConfigError(
            "actions need the frames of a video: a VideoDataset, and vcm_mt.PackFrame at the end "
            "of its pipeline"
        )
    return Place(*told)


class VideoFrames:
    """The frames of a video, as they come in one after another.

    Args:
        video: Its id.
        wanted: The numbers of the frames that are kept.
    """

    def __init__(self, video: Any = None, wanted: Container[int] = ()) -> None:
        self._id, self._wanted, self._next = video, wanted, 0
        self._frames: dict[int, Tensor] = {}

    def take(self, place: Place, frame: Tensor) -> None:
        """Take the next frame, [1, 3, h, w].

        Raises:
            DataError: If it does not follow the one before it.
        """
        if (place.video, place.number) != (self._id, self._next):
            raise DataError(
                f"frame {place.number} of video {place.video} does not follow frame "
                f"{self._next - 1} of video {self._id}: actions need whole videos in order, in one "
                "process"
            )
        self._next += 1
        if place.number in self._wanted:
            self._frames[place.number] = frame

    def clip(self, numbers: Sequence[int]) -> Tensor:
        """The frames of these numbers, [T, 3, h, w]."""
        return torch.cat([self._frames[number] for number in numbers])

    def forget(self, before: int) -> None:
        """Drop the frames whose numbers are smaller."""
        for number in [number for number in self._frames if number < before]:
            del self._frames[number]


class _Crop(NamedTuple):
    """``height`` and ``width`` of what is cut out; three times where ``three`` is set."""

    height: int
    width: int
    three: bool


class ClipGeometry:
    """Resizes, crops and normalises clips as a network's test pipeline does.

    Every step is differentiable with respect to the frames.

    Args:
        preprocessor: The network's.
        pipeline: Its test pipeline.

    Attributes:
        crop: What is cut out of resized frames; ``None`` for nothing.
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

    def batch(self, clips: Sequence[Tensor]) -> Tensor:
        """Resized clips, each [T, 3, h, w], uncropped: [B, 3, T, H, W].

        Smaller ones are padded with black at the right and at the bottom, as mmaction2 pads them.
        """
        height, width = (max(clip.shape[axis] for clip in clips) for axis in (-2, -1))
        whole = [F.pad(c, (0, width - c.shape[-1], 0, height - c.shape[-2])) for c in clips]
        return torch.cat([self._normalised(clip) for clip in whole]).contiguous()

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


def sampling_of(pipeline: Sequence[Any], name: str) -> Any:
    """mmaction2's own sampling of frames in a test pipeline.

    Args:
        pipeline: The pipeline.
        name: How the name of the transform ends.

    Raises:
        ConfigError: If it is not there.
    """
    steps = [step for step in pipeline if step["type"].endswith(name)]
    if not steps:
        raise ConfigError(
            f"the network's test pipeline has no {name}: MMActionTask takes recognisers of clips, "
            "with SampleFrames, and MMActionPersonsTask those of persons, with SampleAVAFrames"
        )
    import mmaction.datasets  # registers it

    with DefaultScope.overwrite_default_scope(SCOPE):
        sampling: Any = mmaction.registry.TRANSFORMS.build({**steps[0], "test_mode": True})
    return sampling


def clips_of(data_samples: Sequence[Any], frames: int) -> list[list[int]]:
    """The numbers of the samples of each clip.

    Args:
        data_samples: With ``clip_place`` in their metainfo, one clip after another.
        frames: How many a clip must have.

    Raises:
        DataError: If one has another number.
    """
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


def seen(x_hat: Tensor, data_samples: Sequence[Any], clip: Sequence[int]) -> list[Tensor]:
    """The frames of a clip, each [1, 3, H, W], without padding."""
    return [unpadded(x_hat[number : number + 1], data_samples[number]) for number in clip]


def unpadded(frame: Tensor, data_sample: Any) -> Tensor:
    """A frame [1, 3, H, W] at its true size."""
    height, width = data_sample.img_shape[:2]
    return frame[..., :height, :width]
