"""Writes the embedded figures to disk as COCO writes persons and their keypoints."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vcm_mt.datasets.mini.compose import PICTURE_SIZE
from vcm_mt.datasets.mini.figures import JOINTS, UNIT
from vcm_mt.datasets.mini.people import Person, compose_people
from vcm_mt.datasets.mini.writer import SPLIT_SIZES, in_processes, once

#: How far from a joint an estimate may be, see https://cocodataset.org/#keypoints-eval: COCO's own
#: but for the head, of which COCO has the nose.
SIGMAS = (0.05, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
#: Numbers of joints, from 1 on, that bones join.
SKELETON = (
    *((1, 2), (1, 3), (2, 3), (2, 4), (4, 6), (3, 5), (5, 7), (2, 8), (3, 9), (8, 9)),
    *((8, 10), (10, 12), (9, 11), (11, 13)),
)

_DONE = "mini_figures.json"


def prepare_figures(folder: Path, seed: int = 0, sizes: dict[str, int] | None = None) -> str:
    """Write the embedded figures to ``folder``, unless they are already there.

    Pictures are ``train/*.bmp`` and ``val/*.bmp``. ``annotations/{train,val}.json`` have the form
    of COCO's ``person_keypoints``: 13 joints, and box and area of each figure's part in the
    picture, also where it is covered. The category lists ``sigmas``, too.

    Args:
        folder: The folder; it is created if necessary.
        seed: The same seed gives the same bytes on every machine.
        sizes: Number of pictures per split, that of the embedded set when ``None``.

    Returns:
        The set's fingerprint: SHA-256 over all pixels and annotations.
    """
    sizes = sizes or SPLIT_SIZES

    def write() -> str:
        digest = hashlib.sha256()
        for split, count in sizes.items():
            digest.update(_write_split(folder, split, count, seed))
        return digest.hexdigest()

    return once(folder / _DONE, {"seed": seed, "sizes": sizes}, write)


def _write_split(folder: Path, split: str, count: int, seed: int) -> bytes:
    for name in (split, "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    make = partial(_write_picture, folder, seed, split)
    made = in_processes(make, count, f"embedded figures, {split}", "picture")
    for index, (name, pixels, people) in enumerate(made):
        size = {"width": PICTURE_SIZE, "height": PICTURE_SIZE}
        images.append({"id": index, "file_name": name, **size})
        for person in people:
            annotations.append({"id": len(annotations) + 1, "image_id": index, **person})
        digest.update(pixels)
    content = {"images": images, "annotations": annotations, "categories": [_category()]}
    text = json.dumps(content, separators=(",", ":"))
    (folder / "annotations" / f"{split}.json").write_text(text)
    digest.update(text.encode())
    return digest.digest()


def _category() -> dict[str, Any]:
    """The category as COCO lists that of persons, with the sigmas."""
    joints: dict[str, Any] = {"keypoints": list(JOINTS), "skeleton": [list(b) for b in SKELETON]}
    return {"id": 1, "name": "figure", **joints, "sigmas": list(SIGMAS)}


def _write_picture(
    folder: Path, seed: int, split: str, index: int
) -> tuple[str, bytes, list[dict[str, Any]]]:
    scene = compose_people(seed, split, index)
    name = f"{index:06d}.bmp"
    Image.fromarray(scene.picture).save(folder / split / name)
    people = [_annotation(person) for person in scene.people]
    return name, hashlib.sha256(scene.picture.tobytes()).digest(), people


def _annotation(person: Person) -> dict[str, Any]:
    """A figure as COCO lists it, without its numbers; whole coordinates are pixels' centres."""
    left, top, right, bottom = person.box
    places = (person.joints - UNIT // 2) / UNIT  # exact: sixteenths
    seen = person.visible[:, None]
    keypoints = np.concatenate([np.where(seen > 0, places, 0), seen], axis=1)
    return {
        "category_id": 1,
        "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
        "area": person.area,
        "keypoints": [float(value) for value in keypoints.ravel()],
        "num_keypoints": int((person.visible > 0).sum()),
        "iscrowd": 0,
    }
