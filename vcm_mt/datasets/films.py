"""Films as folders of pictures: taken apart once, and found again."""

from __future__ import annotations

import hashlib
import io
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vcm_mt.apis.videos import ENDINGS, open_video
from vcm_mt.errors import DataError
from vcm_mt.files import write_atomically

#: Where films of ``--pictures`` are taken apart.
FRAMES = Path("data/frames")
_DONE = ".done"


def folder_of(place: Path, root: Path = FRAMES) -> Path:
    """A folder of pictures: ``place`` itself, or the frames of a film or of a folder of films.

    Args:
        place: A folder of pictures, a film, or a folder of films alone.
        root: Where frames are written, a folder for each film.

    Raises:
        DataError: If a film cannot be read, or a folder has films beside pictures.
    """
    if _is_film(place):
        return _taken_apart(place, root)
    films = sorted(path for path in place.rglob("*") if _is_film(path)) if place.is_dir() else []
    if not films:
        return place
    if others := [p for p in place.rglob("*.*") if p.is_file() and not _is_film(p)]:
        raise DataError(f"{place} has films and {others[0].name}: give films a folder of their own")
    folder = root / f"{place.name}-{_digest(place)}"
    for film in films:
        _taken_apart(film, folder)
    return folder


def frames_of(video: Path, folder: Path, most: int = 0) -> list[Path]:
    """The frames of a video as files ``FOLDER/000000.png`` and so on, in order.

    They are written once; a run that was stopped begins anew.

    Args:
        video: Its file.
        folder: Where to.
        most: At most so many; 0 for all.

    Raises:
        DataError: If it cannot be read, or has no pictures.
    """
    done = folder / _DONE
    if not done.is_file() or done.read_text() != str(most):
        folder.mkdir(parents=True, exist_ok=True)
        if done.is_file():  # of another number of frames
            done.unlink()
            for old in folder.glob("*.png"):
                old.unlink()
        opened = open_video(video)
        pictures = islice(opened.pictures, most or None)
        bar = tqdm(pictures, desc=video.name, unit="frame", total=opened.length or None)
        for place, picture in enumerate(bar):
            write_atomically(folder / f"{place:06d}.png", [_png(picture)])
        done.write_text(str(most))
    files = sorted(folder.glob("*.png"))
    if not files:
        raise DataError(f"{video} has no pictures")
    return files


def _png(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=1)
    return file.getvalue()


def _taken_apart(film: Path, root: Path) -> Path:
    folder = root / f"{film.stem}-{_digest(film)}"
    frames_of(film, folder)
    return folder


def _is_film(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()


def _digest(path: Path) -> str:
    """Of its place, and of its time: a film that was replaced is taken apart anew."""
    told = f"{path.resolve()} {path.stat().st_mtime_ns if path.is_file() else ''}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]
