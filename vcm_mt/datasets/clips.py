"""Clips: consecutive frames of videos, as a data set whose batches are their frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import pseudo_collate
from torch.utils.data import Dataset

from vcm_mt.datasets.coco import CheckedCocoDataset
from vcm_mt.datasets.sampler import Draw
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.registry import DATASETS, FUNCTIONS


@DATASETS.register_module()
class VideoDataset(CheckedCocoDataset):
    """Frames of videos with boxes, masks and tracks, in COCO-VID's form.

    COCO's form, and ``video_id`` and ``frame_id`` of each picture, ``instance_id`` of each object.
    Where actions are labelled, ``actions`` beside the categories, and ``action_id`` of each video.
    Where some frames alone are labelled, ``key_frame`` of each picture; all are by default.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations, ordered by video and frame.

        Raises:
            DataError: See :class:`CheckedCocoDataset`, or if a picture is of no video.
        """
        self._actions: dict[Any, int] | None = None
        records = super().load_data_list()
        lengths = Counter(record["video_id"] for record in records)
        for record in records:
            record["video_length"] = lengths[record["video_id"]]
        return sorted(records, key=lambda record: (record["video_id"], record["frame_id"]))

    def _action(self, video: int) -> int | None:
        """The place of a video's action among those that the annotations name."""
        if self._actions is None:
            self._actions = actions_of(self.coco.dataset, self.ann_file)
        return self._actions.get(video)

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """A picture's record, with its video, its frame number, and its objects' tracks."""
        picture = raw_data_info["raw_img_info"]
        record: dict[str, Any] = super().parse_data_info({**raw_data_info, "raw_ann_info": []})
        for annotation in raw_data_info["raw_ann_info"]:
            one = super().parse_data_info({**raw_data_info, "raw_ann_info": [annotation]})
            number = int(annotation.get("instance_id", 0))  # 0: of no track
            record["instances"] += [{**kept, "instance_id": number} for kept in one["instances"]]
        try:
            record |= {name: int(picture[name]) for name in ("video_id", "frame_id")}
        except KeyError as error:
            raise DataError(
                f"{self.ann_file}: picture {picture['file_name']} has no {error}, as COCO-VID's "
                "form has it"
            ) from error
        record["action"] = self._action(record["video_id"])
        record["key_frame"] = bool(picture.get("key_frame", True))
        return record


def actions_of(dataset: dict[str, Any], path: str) -> dict[Any, int]:
    """The class of each video's action, from 0, by the video's id.

    Args:
        dataset: The content of an annotation file in COCO-VID's form.
        path: The file.

    Returns:
        Nothing where no actions are named.

    Raises:
        DataError: If a video is of no action that is named, or of none.
    """
    places = {one["id"]: place for place, one in enumerate(dataset.get("actions", []))}
    found = {}
    for video in dataset.get("videos", []) if places else []:
        if video.get("action_id") not in places:
            raise DataError(
                f"{path}: video {video.get('name', video['id'])} is of action "
                f"{video.get('action_id')}, and the file names {len(places)} others"
            )
        found[video["id"]] = places[video["action_id"]]
    return found


@DATASETS.register_module()
class ClipDataset(Dataset[list[Any]]):
    """Clips of consecutive frames.

    An element is a list of frames, as their data set packs them; the random transforms of a clip's
    frames are the same. ``clip_place`` in the metainfo of a frame's data sample is its number in
    the clip. Load it with ``collate_fn=dict(type="vcm_mt.flat_collate")``.

    Args:
        dataset: Config of the frames' data set, whose records have ``video_id`` and ``frame_id``.
        frames: Frames of a clip.
        step: From a frame of a clip to the next.
        reverse: Share of clips that run backwards, in [0, 1].
        around: Take clips alone whose frame at place ``frames // 2`` is a key frame with objects,
            as networks that look at persons need them.

    Raises:
        ConfigError: If ``frames`` or ``step`` is below 1, or ``reverse`` out of range, or not 0
            beside ``around``.
        DataError: If no video is long enough, or no frame is such a key frame.
    """

    def __init__(
        self,
        dataset: dict[str, Any],
        frames: int = 4,
        step: int = 1,
        reverse: float = 0.0,
        around: bool = False,
    ) -> None:
        if min(frames, step) < 1 or not 0 <= reverse <= 1:
            raise ConfigError(
                f"a clip has 1 frame or more, 1 or more apart, and a share in [0, 1] of them runs "
                f"backwards: {frames}, {step}, {reverse}"
            )
        if around and reverse:
            raise ConfigError("clips around key frames do not run backwards: set reverse=0")
        self.reverse, self._told_by = reverse, frames // 2 if around else 0
        self.frames = DATASETS.build(dataset)
        self.clips = self._clips(frames, step)
        if not self.clips:
            raise DataError(f"no video is as long as a clip of {frames} frames, {step} apart")
        if around:
            self.clips = [clip for clip in self.clips if self._is_key(clip[frames // 2])]
        if not self.clips:
            raise DataError(
                f"no key frame with objects has a clip of {frames} frames, {step} apart, around it"
            )

    def _clips(self, count: int, step: int) -> list[list[int]]:
        videos: defaultdict[int, list[int]] = defaultdict(list)
        for number in range(len(self.frames)):
            videos[self.frames.get_data_info(number)["video_id"]].append(number)
        reach = (count - 1) * step + 1
        return [
            numbers[first : first + reach : step]
            for numbers in videos.values()
            for first in range(len(numbers) - reach + 1)
        ]

    def _is_key(self, number: int) -> bool:
        told = self.frames.get_data_info(number)
        objects = any(not one["ignore_flag"] for one in told.get("instances", ()))
        return objects and told.get("key_frame", True)

    @property
    def metainfo(self) -> dict[str, Any]:
        """The frames' classes and the like."""
        known: dict[str, Any] = self.frames.metainfo
        return known

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The record of a clip's key frame, or first one; all of a video have its size."""
        record: dict[str, Any] = self.frames.get_data_info(self.clips[index][self._told_by])
        return record

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.clips)

    def __getitem__(self, index: int) -> list[Any]:
        """The frames of a clip."""
        frames = []
        words = getattr(index, "words", (0, int(index)))
        backwards = np.random.default_rng(list(words)).random() < self.reverse
        numbers = self.clips[index][::-1] if backwards else self.clips[index]
        for place, number in enumerate(numbers):
            own = Draw(number)
            own.words = words
            packed = self.frames[own]
            packed["data_samples"].set_metainfo({"clip_place": place})
            frames.append(packed)
        return frames


@FUNCTIONS.register_module()
def flat_collate(clips: Sequence[list[Any]]) -> Any:
    """A batch of all clips' frames, one clip after another."""
    return pseudo_collate([frame for clip in clips for frame in clip])
