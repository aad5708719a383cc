"""Sequences as folders of PNG files, one a frame, and as COCO-VID's lists."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vcm_mt.apis.raw import ENDING, RawOptions, format_of, read_raw
from vcm_mt.apis.videos import open_video
from vcm_mt.datasets.mpeg.reading import picture_size
from vcm_mt.errors import DataError


def extract(
    source: Path, folder: Path, first: int, count: int, size: tuple[int, int], raw: RawOptions
) -> None:
    """Write frames of a video as PNG files ``000000.png``, ... numbered as in the video.

    Frames that are there already are not written again.

    Args:
        source: A raw sequence (``.yuv``), or a video that FFmpeg reads.
        folder: Where to write; made if necessary.
        first: Of the frames, from 0.
        count: How many.
        size: Width and height that the frames must have.
        raw: What a raw sequence's name does not say.

    Raises:
        DataError: When it can't be read, is of another size, or is too short.
    """
    names = [folder / frame_name(number) for number in range(first, first + count)]
    if all(name.is_file() for name in names):
        for name in names:
            picture_size(name, size)
        return
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    shown = tqdm(_frames(source, first, count, raw), source.name, count, unit="frame")
    for name, picture in zip(names, shown, strict=False):
        height, width = picture.shape[:2]
        if (width, height) != size:
            raise DataError(
                f"{source} is {width}x{height}, and its annotations say {size[0]}x{size[1]}"
            )
        part = name.with_suffix(".part")
        Image.fromarray(picture).save(part, "PNG", compress_level=1)
        part.replace(name)
        done += 1
    if done < count:
        raise DataError(f"{source} ends after frame {first + done - 1}, {first + count} are wanted")


def frame_name(number: int) -> str:
    """The file of a frame."""
    return f"{number:06d}.png"


def _frames(source: Path, first: int, count: int, raw: RawOptions) -> Iterator[NDArray[np.uint8]]:
    if source.suffix.lower() == ENDING:
        return read_raw(source, format_of(source.name, raw), first, count)
    return islice(open_video(source).pictures, first, first + count)


class Videos:
    """Gathers videos, frames and objects in COCO-VID's form.

    Attributes:
        content: ``videos``, ``images`` and ``annotations`` so far.
    """

    def __init__(self) -> None:
        self.content: dict[str, list[dict[str, Any]]] = {
            "videos": [], "images": [], "annotations": [],
        }  # fmt: skip

    def add_video(self, name: str, size: tuple[int, int], **fields: Any) -> None:
        """Begin a video; what is added then belongs to it."""
        self._size = {"width": size[0], "height": size[1]}
        self._video = len(self.content["videos"]) + 1
        self._frames = 0
        self.content["videos"].append({"id": self._video, "name": name, **self._size, **fields})

    def add_frame(self, file: str, objects: list[dict[str, Any]], **fields: Any) -> None:
        """Add the next frame of the video and its objects."""
        images, annotations = self.content["images"], self.content["annotations"]
        number = len(images) + 1
        place = {"id": number, "video_id": self._video, "frame_id": self._frames}
        images.append({**place, "file_name": file, **self._size, **fields})
        self._frames += 1
        for one in objects:
            own = {"id": len(annotations) + 1, "image_id": number, "video_id": self._video}
            annotations.append({**own, **one})
