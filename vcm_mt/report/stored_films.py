"""A few test videos as some points decode them, frame by frame, stored for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vcm_mt.errors import ConfigError, naming
from vcm_mt.evaluation.samples import (
    ORIGINALS,
    file_name,
    read_picture,
    read_record,
    save_picture,
)
from vcm_mt.files import write_atomically
from vcm_mt.visualization import to_uint8

if TYPE_CHECKING:  # a report reads films, and measures nothing
    from vcm_mt.evaluation.codecs import CodecUnderTest
    from vcm_mt.evaluation.test_set import TestSet

#: Frames of a video that are stored, and their largest width or height, at most.
LONGEST, LARGEST = 100, 512
_TRUTH = ("name", "size", "classes", "objects")
_BOX = ("category_id", "instance_id", "score", "bbox")


@dataclass(frozen=True)
class Shown:
    """A video as a receiver decoded it.

    Attributes:
        curve: The point's curve.
        quality: The point's quality.
        num_bytes: Of the file with the whole video.
        pictures: Of the whole video.
        psnr: In dB, the mean of the stored frames.
        sizes: Bytes of each stored frame; empty where the codec does not tell.
        keys: Which of them stand by themselves; likewise.
        found: The boxes that each task found, in COCO's result format, a list for each stored
            frame.
        of: Everything that decides the above; the video is sent again when it differs.
    """

    curve: str
    quality: float
    num_bytes: int
    pictures: int
    psnr: float
    sizes: list[int]
    keys: list[bool]
    found: dict[str, list[list[dict[str, Any]]]]
    of: dict[str, Any]

    def frames(self, folder: Path) -> NDArray[np.uint8]:
        """The stored frames, uint8 [T, h, w, 3], from the file beside the record."""
        stacked = read_picture(folder / f"{file_name(self.curve, self.quality)}.png")
        count = len(next(iter(self.found.values())))
        return stacked.reshape(count, -1, *stacked.shape[1:])


class Films:
    """A folder with one folder per stored video.

    Args:
        folder: Holds them.
        data: The test set.
        videos: Numbers of the videos, from 0.

    Raises:
        ConfigError: When the test set is not of videos, has fewer, or no task judges it.
    """

    def __init__(self, folder: Path, data: TestSet, videos: Sequence[int]) -> None:
        if not data.of_videos or not data.judges or not all(n < len(data.units) for n in videos):
            raise ConfigError(
                f"films: {list(videos)} are not all videos of {data.description}, judged by a task"
            )
        self._folder, self._data, self.videos = folder, data, list(videos)
        self._kept = {"truth"}

    def keep(self, codec: CodecUnderTest, curve: str, receiver: str = "shared") -> None:
        """Send and store the videos that are not stored yet.

        Args:
            codec: The codec.
            curve: Name of the receiver's curve.
            receiver: Whose frames are stored.
        """
        self._kept.add(file_name(curve, codec.quality))
        for unit in self.videos:
            if not self._there(unit, codec, curve):
                with naming(self._data.path(self._data.units[unit][0])):
                    self._keep(unit, codec, curve, receiver)

    def drop_others(self) -> None:
        """Delete versions and videos of former runs, which were not asked for this time."""
        wanted = {self._place(unit) for unit in self.videos}
        for path in self._folder.glob("*/*"):
            if path.parent not in wanted or path.stem not in self._kept:
                path.unlink()

    @torch.no_grad()
    def _keep(self, unit: int, codec: CodecUnderTest, curve: str, receiver: str) -> None:
        batches = list(self._data.batches(self._data.units[unit]))
        originals = [original for _, original, _ in batches]
        frames, told = [], []
        for (index, original, sample), sent in zip(
            batches, codec.send_unit(unit, originals), strict=True
        ):
            own = {receiver: sent[receiver]}
            told.append(self._data.judge(index, original, own, sample))
            frames.append(own[receiver].picture)
        seen = [one["receivers"][receiver] for one in told[:LONGEST]]
        sizes = codec.frame_sizes(originals)[:LONGEST]
        shown = Shown(
            curve,
            codec.quality,
            sum(one["num_bytes"] or 0 for one in told),
            len(told),
            float(np.mean([one["psnr"] for one in seen])),
            [size.num_bytes for size in sizes],
            [size.key for size in sizes],
            {task: [_boxes(one["found"][task]) for one in seen] for task in self._data.judges},
            self._of(codec),
        )
        place, name = self._place(unit), file_name(curve, codec.quality)
        place.mkdir(parents=True, exist_ok=True)
        save_picture(place / f"{name}.png", _stacked(frames))
        write_atomically(place / f"{name}.json", [json.dumps(asdict(shown)).encode() + b"\n"])
        truth = self._truth(unit, originals[0])
        write_atomically(place / "truth.json", [json.dumps(truth).encode() + b"\n"])

    def _truth(self, unit: int, frame: Tensor) -> dict[str, Any]:
        numbers = self._data.units[unit]
        ids, judges = [self._data.ids[index] for index in numbers[:LONGEST]], self._data.judges
        return {
            "name": Path(self._data.path(numbers[0])).parent.name,
            "size": [*frame.shape[-2:]],
            "classes": {task: judge.names() for task, judge in judges.items()},
            "objects": {
                task: [_boxes(judge.objects(n)) for n in ids] for task, judge in judges.items()
            },
        }

    def _place(self, unit: int) -> Path:
        return self._folder / f"{unit:06d}"

    def _there(self, unit: int, codec: CodecUnderTest, curve: str) -> bool:
        record = self._place(unit) / f"{file_name(curve, codec.quality)}.json"
        try:
            there: bool = json.loads(record.read_bytes())["of"] == self._of(codec)
        except (OSError, ValueError, KeyError, TypeError):  # missing, or damaged
            return False
        return there

    def _of(self, codec: CodecUnderTest) -> dict[str, Any]:
        data = {"data": self._data.data_digest, "tasks": self._data.task_digests}
        return {**codec.record, **data}


def read_films(folder: Path) -> list[tuple[dict[str, Any], list[tuple[Shown, Any]]]]:
    """Annotations, and each decoded version with its frames, uint8 [T, h, w, 3], by video.

    The first version is the uncoded video; one without it was not finished and is left out.

    Raises:
        MeasurementError: When a record is damaged.
    """
    films = []
    for place in sorted(path.parent for path in folder.glob("*/truth.json")):
        truth = read_record(
            place / "truth.json", lambda told: {name: told[name] for name in _TRUTH}
        )
        records = [path for path in sorted(place.glob("*.json")) if path.name != "truth.json"]
        seen = [read_record(path, lambda told: Shown(**told)) for path in records]
        seen.sort(key=lambda one: one.curve != ORIGINALS)
        if seen and seen[0].curve == ORIGINALS:
            films.append((truth, [(one, one.frames(place)) for one in seen]))
    return films


def _stacked(frames: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Frames below each other, uint8 [T * h, w, 3], scaled down where they are large."""
    pictures = []
    for frame in frames[:LONGEST]:
        picture = Image.fromarray(to_uint8(frame))
        picture.thumbnail((LARGEST, LARGEST))
        pictures.append(np.asarray(picture))
    return np.concatenate(pictures)


def _boxes(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: one[key] for key in _BOX if key in one} for one in entries if "bbox" in one]
