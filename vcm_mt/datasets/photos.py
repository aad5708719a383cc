"""The photographs: a small part of COCO 2017, picked by the ids that the package lists."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import DataError
from vcm_mt.files import write_atomically

#: Split of the photographs, and the split of COCO that they are from. Settings are chosen on
#: ``tune``, which is not trained on; ``val`` is measured once, at the end.
SPLITS = {"train": "train2017", "tune": "train2017", "val": "val2017"}


def photo_ids() -> dict[str, list[int]]:
    """COCO's ids of the photographs by split."""
    ids: dict[str, list[int]] = json.loads(
        (files("vcm_mt") / "datasets" / "photos.json").read_text()
    )
    return ids


def prepare_photos(coco: Path, folder: Path) -> str:
    """Copy the photographs and their annotations out of COCO 2017.

    Writes ``train/``, ``tune/`` and ``val/``, and ``annotations/{train,tune,val}.json`` in COCO
    format, with COCO's ids and categories. Pictures that are there already are not copied again.

    Args:
        coco: Folder with ``train2017/``, ``val2017/`` and ``annotations/instances_*2017.json``.
            Other pictures than those listed are not needed.
        folder: The folder to write to; it is created if necessary.

    Returns:
        The set's fingerprint: SHA-256 over the annotations and the pictures' bytes.

    Raises:
        DataError: If annotations or pictures are missing.
    """
    digest = hashlib.sha256()
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split, origin in SPLITS.items():
        content = _part_of(coco / "annotations" / f"instances_{origin}.json", photo_ids()[split])
        (folder / split).mkdir(exist_ok=True)
        for image in tqdm(content["images"], desc=f"photographs, {split}", unit="picture"):
            source = coco / origin / image["file_name"]
            digest.update(_copied(source, folder / split / image["file_name"]))
        text = json.dumps(content, separators=(",", ":")).encode()
        write_atomically(folder / "annotations" / f"{split}.json", [text])
        digest.update(text)
    return digest.hexdigest()


def _part_of(path: Path, ids: list[int]) -> dict[str, Any]:
    """The images, annotations and categories of some pictures, in the order of their ids."""
    known = Annotations(path)
    if missing := [number for number in ids if number not in known.imgs]:
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(ids)} photographs, such as {missing[0]}: "
            "give --coco the folder of COCO 2017"
        )
    return {
        "images": [known.imgs[number] for number in ids],
        "annotations": [one for number in ids for one in known.imgToAnns.get(number, [])],
        "categories": known.dataset["categories"],
    }


def _copied(source: Path, target: Path) -> bytes:
    """Copy a picture unless it is there; the digest of its bytes."""
    if not source.is_file():
        raise DataError(f"{source} is missing: fetch COCO 2017 from https://cocodataset.org")
    if not target.is_file() or target.stat().st_size != source.stat().st_size:
        shutil.copyfile(source, target)
    return hashlib.sha256(target.read_bytes()).digest()
