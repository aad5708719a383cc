"""Writes the embedded set to disk in COCO format."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from pycocotools import mask as rle
from tqdm import tqdm

from vcm_mt.datasets.mini.compose import PICTURE_SIZE, compose
from vcm_mt.datasets.mini.objects import CLASSES
from vcm_mt.datasets.mini.sheet import contact_sheet
from vcm_mt.files import write_atomically

SPLIT_SIZES = {"train": 2000, "val": 300}

_DONE = "mini.json"
_T = TypeVar("_T")


def prepare(folder: Path, seed: int = 0, sizes: dict[str, int] | None = None) -> str:
    """Write the embedded set to ``folder``, unless it is already there.

    Pictures are ``train/*.bmp`` and ``val/*.bmp`` (BMP, so that the bytes depend on no version of a
    compressor). ``annotations/{train,val}.json`` have boxes and RLE masks of the visible parts, and
    ``contact_sheet.png`` shows twelve pictures.

    Args:
        folder: The folder; it is created if necessary.
        seed: The same seed gives the same bytes on every machine.
        sizes: Number of pictures per split, :data:`SPLIT_SIZES` when ``None``.

    Returns:
        The set's fingerprint: SHA-256 over all pixels and annotations.
    """
    sizes = sizes or SPLIT_SIZES

    def write() -> str:
        digest = hashlib.sha256()
        for split, count in sizes.items():
            digest.update(_write_split(folder, split, count, seed))
        contact_sheet(folder, "val", folder / "contact_sheet.png")
        return digest.hexdigest()

    return once(folder / _DONE, {"seed": seed, "sizes": sizes}, write)


def once(done: Path, wanted: dict[str, Any], write: Callable[[], str]) -> str:
    """Write a set unless it is already there, as its record says.

    Args:
        done: The record's file.
        wanted: What decides the set's content.
        write: Writes it and returns its fingerprint.

    Returns:
        The fingerprint.
    """
    if done.is_file():
        record = json.loads(done.read_text())
        if {key: record.get(key) for key in wanted} == wanted:
            return str(record["fingerprint"])
        done.unlink()  # first, so that an interrupted rewrite does not look complete
    fingerprint = write()
    record = {**wanted, "fingerprint": fingerprint}
    write_atomically(done, [(json.dumps(record, indent=1) + "\n").encode()])
    return fingerprint


def _write_split(folder: Path, split: str, count: int, seed: int) -> bytes:
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    make = partial(_write_picture, folder, seed, split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    made = in_processes(make, count, f"embedded set, {split}", "picture")
    for index, (name, pixel_digest, things) in enumerate(made):
        images.append(
            {"id": index, "file_name": name, "width": PICTURE_SIZE, "height": PICTURE_SIZE}
        )
        for thing in things:
            annotations.append({"id": len(annotations) + 1, "image_id": index, **thing})
        digest.update(pixel_digest)
    content = {"images": images, "annotations": annotations, "categories": categories()}
    text = json.dumps(content, separators=(",", ":"))
    (folder / "annotations" / f"{split}.json").write_text(text)
    digest.update(text.encode())
    return digest.digest()


def categories() -> list[dict[str, Any]]:
    """The categories as COCO lists them."""
    return [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]


def in_processes(make: Callable[[int], _T], count: int, what: str, unit: str) -> Iterator[_T]:
    """``make`` of 0 to ``count - 1``, in order, by as many processes as there are cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        with _interrupts_for_this_process():
            made = pool.map(make, range(count), chunksize=8)
        yield from tqdm(made, total=count, desc=what, unit=unit)


@contextmanager
def _interrupts_for_this_process() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, so that only this process handles it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write_picture(
    folder: Path, seed: int, split: str, index: int
) -> tuple[str, bytes, list[dict[str, Any]]]:
    sample = compose(seed, split, index)
    name = f"{index:06d}.bmp"
    Image.fromarray(sample.picture).save(folder / split / name)
    things = [annotation(thing.category, thing.mask) for thing in sample.things]
    return name, hashlib.sha256(sample.picture.tobytes()).digest(), things


def annotation(category: int, mask: np.ndarray) -> dict[str, Any]:
    """An object as COCO lists it, without its numbers."""
    coded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "category_id": category + 1,
        "bbox": [float(value) for value in rle.toBbox(coded)],
        "area": int(rle.area(coded)),
        "segmentation": {"size": coded["size"], "counts": coded["counts"].decode()},
        "iscrowd": 0,
    }
