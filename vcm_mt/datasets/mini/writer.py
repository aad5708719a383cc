"""Writes the embedded set to disk in COCO format."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

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
    wanted = {"seed": seed, "sizes": sizes}
    done = folder / _DONE
    if done.is_file():
        record = json.loads(done.read_text())
        if {key: record.get(key) for key in wanted} == wanted:
            return str(record["fingerprint"])
        done.unlink()  # first, so that an interrupted rewrite does not look complete
    digest = hashlib.sha256()
    for split, count in sizes.items():
        digest.update(_write_split(folder, split, count, seed))
    contact_sheet(folder, "val", folder / "contact_sheet.png")
    record = {**wanted, "fingerprint": digest.hexdigest()}
    write_atomically(done, [(json.dumps(record, indent=1) + "\n").encode()])
    return digest.hexdigest()


def _write_split(folder: Path, split: str, count: int, seed: int) -> bytes:
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    make = partial(_write_picture, folder, seed, split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        with _interrupts_for_this_process():
            made = pool.map(make, range(count), chunksize=8)
        for index, (name, pixel_digest, things) in enumerate(
            tqdm(made, total=count, desc=f"embedded set, {split}", unit="picture")
        ):
            images.append(
                {"id": index, "file_name": name, "width": PICTURE_SIZE, "height": PICTURE_SIZE}
            )
            for thing in things:
                annotations.append({"id": len(annotations) + 1, "image_id": index, **thing})
            digest.update(pixel_digest)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    text = json.dumps(
        {"images": images, "annotations": annotations, "categories": categories},
        separators=(",", ":"),
    )
    (folder / "annotations" / f"{split}.json").write_text(text)
    digest.update(text.encode())
    return digest.digest()


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
    things = [_annotation(thing.category, thing.mask) for thing in sample.things]
    return name, hashlib.sha256(sample.picture.tobytes()).digest(), things


def _annotation(category: int, mask: np.ndarray) -> dict[str, Any]:
    coded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "category_id": category + 1,
        "bbox": [float(value) for value in rle.toBbox(coded)],
        "area": int(rle.area(coded)),
        "segmentation": {"size": coded["size"], "counts": coded["counts"].decode()},
        "iscrowd": 0,
    }
