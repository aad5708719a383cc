"""Writes the embedded videos to disk: a folder of pictures for each, and COCO-VID annotations."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vcm_mt.datasets.mini.compose import PICTURE_SIZE
from vcm_mt.datasets.mini.videos import camera_of, video
from vcm_mt.datasets.mini.writer import annotation, categories, in_processes, once

#: Videos, and frames of each.
VIDEO_SIZES = {"train": (120, 12), "val": (24, 24)}

_DONE = "mini_videos.json"

#: A frame's digest and its annotations, without their numbers.
_Told = tuple[bytes, list[dict[str, Any]]]


def prepare_videos(
    folder: Path, seed: int = 0, sizes: dict[str, tuple[int, int]] | None = None
) -> str:
    """Write the embedded videos to ``folder``, unless they are already there.

    Frames are ``SPLIT/VIDEO/*.bmp``; a third of the videos is seen by a camera that stands still,
    a third by one that pans, a third by one that shakes. ``annotations/SPLIT.json`` are in
    COCO-VID's form: boxes and masks of the visible parts, and each object's ``instance_id``.

    Args:
        folder: The folder; it is created if necessary.
        seed: The same seed gives the same bytes on every machine.
        sizes: Number of videos and of frames in each, per split; :data:`VIDEO_SIZES` when ``None``.

    Returns:
        The set's fingerprint: SHA-256 over all pixels and annotations.
    """
    sizes = sizes or VIDEO_SIZES

    def write() -> str:
        digest = hashlib.sha256()
        for split, (count, frames) in sizes.items():
            digest.update(_write_split(folder, split, count, frames, seed))
        return digest.hexdigest()

    wanted = {"seed": seed, "sizes": {split: list(size) for split, size in sizes.items()}}
    return once(folder / _DONE, wanted, write)


def _write_split(folder: Path, split: str, count: int, frames: int, seed: int) -> bytes:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    make = partial(_write_video, folder, seed, split, frames)
    size = {"width": PICTURE_SIZE, "height": PICTURE_SIZE}
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    made = in_processes(make, count, f"embedded videos, {split}", "video")
    for number, told in enumerate(made, start=1):
        name = _name(number - 1)
        videos.append({"id": number, "name": name, **size})
        for frame, (pixels, things) in enumerate(told):
            place = {"video_id": number, "image_id": len(images)}
            file = {"file_name": f"{name}/{frame:06d}.bmp", "frame_id": frame, "video_id": number}
            images.append({"id": len(images), **file, **size})
            for thing in things:
                annotations.append({"id": len(annotations) + 1, **place, **thing})
            digest.update(pixels)
    content = {
        "videos": videos,
        "images": images,
        "annotations": annotations,
        "categories": categories(),
    }
    text = json.dumps(content, separators=(",", ":"))
    (folder / "annotations" / f"{split}.json").write_text(text)
    digest.update(text.encode())
    return digest.digest()


def _name(index: int) -> str:
    return f"{index:04d}_{camera_of(index)}"


def _write_video(folder: Path, seed: int, split: str, frames: int, index: int) -> list[_Told]:
    place = folder / split / _name(index)
    place.mkdir(parents=True, exist_ok=True)
    told = []
    for number, frame in enumerate(video(seed, split, index, frames)):
        Image.fromarray(frame.picture).save(place / f"{number:06d}.bmp")
        things = [
            {**annotation(one.category, one.mask), "instance_id": one.instance}
            for one in frame.objects
        ]
        told.append((hashlib.sha256(frame.picture.tobytes()).digest(), things))
    return told
