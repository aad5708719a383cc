"""Writes the embedded clips of actions to disk, in COCO-VID's form with actions."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vcm_mt.datasets.mini.motions import CLIP_SIZE, MOTIONS, clip, motion_of
from vcm_mt.datasets.mini.writer import annotation, in_processes, once

#: Clips, and frames of each.
MOTION_SIZES = {"train": (960, 16), "val": (160, 16)}

_DONE = "mini_motions.json"
#: Digests of a clip's frames, and the figure in each.
_Told = list[tuple[bytes, dict[str, Any]]]


def prepare_motions(
    folder: Path, seed: int = 0, sizes: dict[str, tuple[int, int]] | None = None
) -> str:
    """Write the embedded clips to ``folder``, unless they are already there.

    Frames are ``SPLIT/CLIP/*.bmp``. ``annotations/SPLIT.json`` are in COCO-VID's form: ``actions``
    are named, each video has its ``action_id``, and each frame the figure's box and mask.
    ``annotations/SPLIT.txt`` list the clips in the form of mmaction2's ``RawframeDataset``.

    Args:
        folder: The folder; it is created if necessary.
        seed: The same seed gives the same bytes on every machine.
        sizes: Number of clips and of frames in each, per split; :data:`MOTION_SIZES` when ``None``.

    Returns:
        The set's fingerprint: SHA-256 over all pixels and annotations.
    """
    sizes = sizes or MOTION_SIZES

    def write() -> str:
        digest = hashlib.sha256()
        for split, (count, frames) in sizes.items():
            digest.update(_write_split(folder, split, count, frames, seed))
        return digest.hexdigest()

    wanted = {"seed": seed, "sizes": {split: list(size) for split, size in sizes.items()}}
    return once(folder / _DONE, wanted, write)


def _write_split(folder: Path, split: str, count: int, frames: int, seed: int) -> bytes:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    make = partial(_write_clip, folder, seed, split, frames)
    size = {"width": CLIP_SIZE, "height": CLIP_SIZE}
    told: dict[str, list[dict[str, Any]]] = {
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "figure"}],
        "actions": [{"id": n, "name": name} for n, name in enumerate(MOTIONS, start=1)],
    }
    digest = hashlib.sha256()
    made = in_processes(make, count, f"embedded clips, {split}", "clip")
    for index, seen in enumerate(made):
        video = index + 1
        about = {"id": video, "name": _name(index), "action_id": motion_of(index) + 1}
        told["videos"].append({**about, **size})
        for frame, (pixels, figure) in enumerate(seen):
            number = len(told["images"])
            file = f"{_name(index)}/{frame:06d}.bmp"
            place = {"id": number, "file_name": file, "frame_id": frame, "video_id": video}
            told["images"].append({**place, **size})
            own = {"id": number + 1, "image_id": number, "video_id": video, "instance_id": 1}
            told["annotations"].append({**own, **figure})
            digest.update(pixels)
    # The same for mmaction2's own reader: a folder, its frames, and the action's number from 0.
    listing = [f"{one['name']} {frames} {one['action_id'] - 1}\n" for one in told["videos"]]
    (folder / "annotations" / f"{split}.txt").write_text("".join(listing))
    text = json.dumps(told, separators=(",", ":"))
    (folder / "annotations" / f"{split}.json").write_text(text)
    digest.update(text.encode())
    return digest.digest()


def _name(index: int) -> str:
    return f"{index:04d}_{MOTIONS[motion_of(index)]}"


def _write_clip(folder: Path, seed: int, split: str, frames: int, index: int) -> _Told:
    place = folder / split / _name(index)
    place.mkdir(parents=True, exist_ok=True)
    told = []
    for number, frame in enumerate(clip(seed, split, index, frames)):
        Image.fromarray(frame.picture).save(place / f"{number:06d}.bmp")
        figure = annotation(0, frame.mask)
        told.append((hashlib.sha256(frame.picture.tobytes()).digest(), figure))
    return told
