"""The adapter for action recognition by mmaction2."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import DataError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.detector_config import read_recognizer
from vcm_mt.models.tasks.detector_modes import heads_training, quietly, running
from vcm_mt.models.tasks.mmaction_clips import (
    SCOPE,
    ClipGeometry,
    VideoFrames,
    clips_of,
    place_of,
    sampling_of,
    seen,
    unpadded,
)
from vcm_mt.models.tasks.mmaction_import import import_mmaction
from vcm_mt.registry import MODELS


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

    of_videos = True

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
        self._sampling = sampling_of(plan.test_pipeline, "SampleFrames")
        with running(torch.empty(0), SCOPE):
            self.recognizer = self._mmaction.registry.MODELS.build(plan.model)
        if checkpoint:
            load_strictly(self.recognizer, read_state_dict(checkpoint), checkpoint)
        else:
            with quietly():
                self.recognizer.init_weights()
        self._geometry = ClipGeometry(self.recognizer.data_preprocessor, plan.test_pipeline)
        self.frames = int(self._sampling.clip_len)
        self._video, self._clips = VideoFrames(), list[list[int]]()

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:  # noqa: ARG002
        """The recogniser's training losses on decoded clips; see :meth:`Task.loss`.

        Args:
            x_hat: The frames of clips, one clip after another, float [B * T, 3, H, W].
            x: Not used.
            data_samples: With ``clip_place`` and ``action`` in their metainfo.

        Raises:
            DataError: If clips have another length than the recogniser's, or no class.
        """
        clips = clips_of(data_samples, self.frames)
        inputs = torch.stack([self._geometry.clip(seen(x_hat, data_samples, c)) for c in clips])
        samples = [self._labelled(data_samples[clip[0]]) for clip in clips]
        with running(inputs, SCOPE), heads_training(self.recognizer):
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
        place = place_of(sample)
        if place.number == 0:
            self._clips = self._sampled(place.length)
            wanted = {number for clip in self._clips for number in clip}
            self._video = VideoFrames(place.video, wanted)
        self._video.take(place, self._geometry.small(unpadded(frame, sample)))
        if place.number + 1 < place.length:
            return None
        clips = [self._video.clip(numbers) for numbers in self._clips]
        inputs = torch.cat([self._geometry.views(clip) for clip in clips])[None]
        with running(inputs, SCOPE):
            data_sample = self._mmaction.structures.ActionDataSample()
            (found,) = self.recognizer.predict(inputs, [data_sample])
        scores = found.pred_score
        return InstanceData(scores=scores[None], labels=scores.argmax()[None])

    def _sampled(self, length: int) -> list[list[int]]:
        """The frames of each clip of a video, by their numbers."""
        told = self._sampling({"total_frames": length, "start_index": 0, "modality": "RGB"})
        clips: list[list[int]] = told["frame_inds"].reshape(-1, self.frames).tolist()
        return clips
