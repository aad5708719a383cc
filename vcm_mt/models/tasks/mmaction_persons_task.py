"""The adapter for mmaction2's recognition of what each person does."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.boxes import make_boxes
from vcm_mt.models.tasks.detector_config import DetectorPlan, read_recognizer
from vcm_mt.models.tasks.detector_modes import heads_training, quietly, running
from vcm_mt.models.tasks.mmaction_clips import (
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

#: The proposals of the loss are the true boxes: each is its person's, and none is drawn by chance.
_TRAIN_CFG = {
    "rcnn": {
        "assigner": {
            "type": "MaxIoUAssignerAVA",
            "pos_iou_thr": 0.9,
            "neg_iou_thr": 0.9,
            "min_pos_iou": 0.9,
        },
        "sampler": {"type": "PseudoSampler"},
        "pos_weight": 1.0,
    }
}
#: Heads over what was stored of other clips.
_BANKS = ("FBOHead", "LFBInferHead")


class _KeyFrame(NamedTuple):
    """A frame whose clip is not complete yet.

    Attributes:
        img_id: Of the picture.
        size: Its height and width.
        boxes: Of its persons, float [N, 4].
        clip: The numbers of its clip's frames.
    """

    img_id: Any
    size: tuple[int, int]
    boxes: Tensor
    clip: list[int]


@MODELS.register_module()
class MMActionPersonsTask(Task):
    """A network behind the decoder that tells what each person in a frame does, such as SlowFast.

    It looks at the clip around a key frame, and there at the persons' boxes
    (https://arxiv.org/abs/1812.03982, section 5). A person may do several things at once.

    .. code-block:: none

        frames of a clip --> resize --> normalise --> stack --> backbone --> RoIAlign --> head
                                                       persons' boxes, scaled --^           |
                                                                           L_task, or scores

    Clips are sampled and resized as the network's test pipeline does; every step passes the
    gradient on to the frames. Training takes clips whose frame at place ``frames // 2`` is the key
    frame: ``ClipDataset(around=True)``. The truth is its ``gt_instances``: ``bboxes`` and
    ``labels``, an object for each person and action, as AVA lists them; equal boxes are one
    person's.

    Args:
        recognizer: ``mmaction::detection/...`` or ``vcm_mt::...`` name or path of a config of a
            ``FastRCNN`` with ``AVARoIHead``, or a dict with its ``model`` and ``test_pipeline``.
        checkpoint: Its weights (see :func:`vcm_mt.checkpoint.read_state_dict`); ``None`` for random
            ones.
        boxes: Where predictions look: ``"truth"``, ``"given"``, ``dict(file=...)`` or
            ``dict(detector=...)``, as for :class:`.MMPoseTask`. A detector looks at key frames.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Attributes:
        frames: Frames of a clip.
        actions: How many the network knows.

    Raises:
        ConfigError: If mmaction2 is not installed, the config has another kind of network, no
            sampling around key frames, or crops, or the weights belong to another one.
    """

    of_videos = True

    def __init__(
        self,
        recognizer: str | dict[str, Any],
        checkpoint: str | None = None,
        boxes: str | dict[str, Any] = "truth",
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        self._mmaction = import_mmaction()
        plan = read_recognizer(recognizer)
        self._sampling = sampling_of(plan.test_pipeline, "SampleAVAFrames")
        self.recognizer = _build(plan)
        if checkpoint:
            load_strictly(self.recognizer, read_state_dict(checkpoint), checkpoint)
        else:
            with quietly():
                self.recognizer.init_weights()
        self._geometry = ClipGeometry(self.recognizer.data_preprocessor, plan.test_pipeline)
        if self._geometry.crop is not None:
            raise ConfigError("the network's test pipeline crops frames: persons would be cut off")
        self.boxes = make_boxes(boxes, of_truth)
        self.frames = int(self._sampling.clip_len)
        head = self.recognizer.roi_head.bbox_head
        self._first = int(head.background_class)  # class 0 is then no action
        self.actions = head.num_classes - self._first
        self._video, self._waiting = VideoFrames(), deque[_KeyFrame]()

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:  # noqa: ARG002
        """The network's training loss on decoded clips; see :meth:`Task.loss`.

        Args:
            x_hat: The frames of clips, one clip after another, float [B * T, 3, H, W].
            x: Not used.
            data_samples: With ``clip_place`` in their metainfo, and with the ground truth.

        Raises:
            DataError: If clips have another length than the network's, or if the frame in the
                middle of one has no persons, or actions that the network does not know.
        """
        clips = clips_of(data_samples, self.frames)
        keys = [data_samples[clip[self.frames // 2]] for clip in clips]
        truths = [self._truth(key) for key in keys]
        small = [
            torch.cat([self._geometry.small(frame) for frame in seen(x_hat, data_samples, clip)])
            for clip in clips
        ]
        samples = []
        for key, truth, clip in zip(keys, truths, small, strict=True):
            sample = self._sample(truth.bboxes, key.img_shape[:2], clip)
            bboxes, labels = sample.proposals.bboxes.clone(), truth.labels.to(clip.device)
            sample.gt_instances = InstanceData(bboxes=bboxes, labels=labels)
            samples.append(sample)
        inputs = self._geometry.batch(small)
        with running(inputs), heads_training(self.recognizer):
            losses = self.recognizer.loss(inputs, samples)
        return {name: value.mean() for name, value in losses.items() if "loss" in name}

    def _truth(self, key: Any) -> InstanceData:
        """A key frame's persons: ``bboxes`` [N, 4], and ``labels`` [N, C], 1 for what each does."""
        boxes, which = _persons(key)
        path, actions = key.metainfo.get("img_path"), key.gt_instances.labels
        if not len(boxes):
            raise DataError(
                f"{path}, in the middle of a clip, has no persons: "
                "use ClipDataset(around=True), which puts clips around frames with objects"
            )
        if not 0 <= int(actions.min()) <= int(actions.max()) < self.actions:
            raise DataError(
                f"{path} has actions numbered {sorted(set(actions.tolist()))}, and the network "
                f"knows {self.actions}: take one that was trained for these annotations"
            )
        labels = torch.zeros(len(boxes), self.actions + self._first, device=boxes.device)
        labels[which, actions + self._first] = 1
        return InstanceData(bboxes=boxes, labels=labels)

    def _sample(self, boxes: Tensor, size: tuple[int, int], clip: Tensor) -> Any:
        """mmaction2's data sample of a clip [T, 3, h, w] of frames that had ``size``."""
        height, width = clip.shape[-2:]
        scale = clip.new_tensor([width / size[1], height / size[0]] * 2)
        sample = self._mmaction.structures.ActionDataSample()
        sample.set_metainfo({"img_shape": (height, width)})
        sample.proposals = InstanceData(bboxes=boxes.to(clip) * scale)
        return sample

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData | None]:
        """What persons do, as soon as the clips around them are complete.

        Key frames are all those whose metainfo does not say ``key_frame=False``. Those of a clip
        that would reach beyond the video are its first or last one again, as in mmaction2.

        Args:
            x_hat: Frames in order, float [B, 3, H, W], RGB in [0, 1].
            data_samples: With ``img_id``, ``video_id``, ``frame_id`` and ``video_length``, the
                number of the video's frames, in their metainfo.

        Returns:
            For each frame the persons of the key frames whose clips it completes; ``None`` where it
            completes none. ``bboxes``, float [N, 4], are in native coordinates; ``scores``, float
            [N, C], are the actions' probabilities; ``img_ids``, a list, tells each one's picture.

        Raises:
            ConfigError: If a data sample is of no video.
            DataError: If a frame does not follow the one before it, or boxes are missing.
        """
        return [
            self._next(x_hat[number : number + 1], sample)
            for number, sample in enumerate(data_samples)
        ]

    def _next(self, frame: Tensor, sample: Any) -> InstanceData | None:
        place, picture = place_of(sample), unpadded(frame, sample)
        if place.number == 0:
            self._video = VideoFrames(place.video, range(place.length))
            self._waiting.clear()
        self._video.take(place, self._geometry.small(picture))
        if sample.metainfo.get("key_frame", True) and len(found := self.boxes(picture, sample)):
            clip = self._clip(place.number, place.length)
            size = sample.img_shape[:2]
            key = _KeyFrame(sample.metainfo.get("img_id"), size, found.bboxes, clip)
            self._waiting.append(key)
        persons = []
        while self._waiting and self._waiting[0].clip[-1] <= place.number:
            persons.append(self._recognised(self._waiting.popleft()))
        begins = (key.clip[0] for key in self._waiting)
        self._video.forget(min(begins, default=self._clip(place.number + 1, place.length)[0]))
        return InstanceData.cat(persons) if persons else None

    def _clip(self, key: int, length: int) -> list[int]:
        """The numbers of the frames of a key frame's clip."""
        # Not `transform`, which draws random numbers and uses them in training alone.
        numbers: list[int] = self._sampling._get_clips(key, None, (0, length)).tolist()
        return numbers

    def _recognised(self, key: _KeyFrame) -> InstanceData:
        clip = self._video.clip(key.clip)
        inputs = self._geometry.batch([clip])
        with running(inputs):
            (told,) = self.recognizer.predict(inputs, [self._sample(key.boxes, key.size, clip)])
        scores = told.pred_instances.scores[:, self._first :]
        ids = [key.img_id] * len(scores)
        return InstanceData(bboxes=key.boxes.to(scores), scores=scores, img_ids=ids)


def _build(plan: DetectorPlan) -> Any:
    model = plan.model
    kinds = [
        str(part.get("type")).rpartition(".")[2] for part in (model, model.get("roi_head", {}))
    ]
    if kinds != ["FastRCNN", "AVARoIHead"]:
        raise ConfigError(
            f"{kinds[0]} is no FastRCNN with an AVARoIHead: take one of mmaction::detection"
        )
    if _kind(model.roi_head.get("shared_head")) in _BANKS:
        raise ConfigError(
            "the network reads features of other clips from files (a long-term feature bank), and "
            "they are not those of decoded frames: take one of mmaction::detection without lfb"
        )
    model.train_cfg = _TRAIN_CFG
    with running(torch.empty(0)):
        return MMDET_MODELS.build(model)


def _kind(part: Any) -> str:
    return str((part or {}).get("type", "")).rpartition(".")[2]


def of_truth(picture: Tensor, data_sample: Any) -> InstanceData:
    """The annotated persons, one for each box.

    Raises:
        DataError: If there are no annotations.
    """
    boxes = _persons(data_sample)[0].to(picture)
    labels = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    return InstanceData(bboxes=boxes, scores=boxes.new_ones(len(boxes)), labels=labels)


def _persons(data_sample: Any) -> tuple[Tensor, Tensor]:
    """The annotated boxes, each once, float [N, 4], and of which of them each object is."""
    truth = data_sample.get("gt_instances")
    if truth is None or "bboxes" not in truth:
        raise DataError(
            f"{data_sample.metainfo.get('img_path')} comes without persons' boxes: put "
            "vcm_mt.LoadAnnotations(with_bbox=True) before vcm_mt.PackFrame, or let predictions of "
            "this task look in boxes of a detector or a file"
        )
    boxes, which = torch.unique(get_box_tensor(truth.bboxes), dim=0, return_inverse=True)
    return boxes, which
