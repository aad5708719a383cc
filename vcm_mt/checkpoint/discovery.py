"""The checkpoints that a training's folder holds."""

from __future__ import annotations

import warnings
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from vcm_mt.checkpoint.reading import read_record
from vcm_mt.checkpoint.zoo import local_path
from vcm_mt.errors import ConfigError

_CHECKPOINTS = ("iter_*.pth", "epoch_*.pth")


def list_checkpoints(work_dir: Path) -> list[Path]:
    """A training's checkpoints, damaged ones too: the one that it points to, then newest first."""
    saved = [path for pattern in _CHECKPOINTS for path in work_dir.glob(pattern)]
    saved.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    pointer = work_dir / "last_checkpoint"
    named = Path(pointer.read_text(errors="replace").strip()) if pointer.is_file() else Path()
    last = work_dir / named.name  # the folder may have moved
    if last.is_file():
        return [last, *(path for path in saved if path != last)]
    return saved or [path for path in [named] if path.is_file()]


def find_checkpoint(work_dir: Path) -> Path:
    """The newest checkpoint of a training that is not damaged.

    Args:
        work_dir: The training's folder, or the one above it where it holds one quality alone.

    Raises:
        ConfigError: When there is none, or there are several qualities.
    """
    known = list_checkpoints(work_dir)
    if not known:
        return find_checkpoint(_only_quality(work_dir))
    for number, path in enumerate(known):
        if _is_whole(path):
            if number:
                damaged = ", ".join(map(str, known[:number]))
                warnings.warn(f"{damaged} is damaged: {path} is taken", stacklevel=2)
            return path
    raise ConfigError(
        f"no checkpoint in {work_dir} is whole ({', '.join(path.name for path in known)}): "
        "restore one, or remove them and start anew"
    )


def training_checkpoint(path: Path) -> Path:
    """The checkpoint that a path stands for: a file, a folder's last one, or ``zoo://NAME``.

    Raises:
        ConfigError: When there is none, or it is a receiver's file, which holds no transmitter.
    """
    path = local_path(path)
    if path.is_dir():
        return find_checkpoint(path)
    if path.suffix == ".safetensors" and "transmitter" in read_record(path):
        raise ConfigError(
            f"{path} is a receiver's file, which cannot encode: give the training's checkpoint "
            "or folder"
        )
    return path


def _only_quality(work_dir: Path) -> Path:
    """The folder of the one quality that was trained in a folder."""
    files = [
        p for depth in ("*", "*/*") for c in _CHECKPOINTS for p in work_dir.glob(f"{depth}/{c}")
    ]
    folders = {path.parent.relative_to(work_dir) for path in files}
    names = [str(place) for place in sorted(folders, key=lambda p: (p.parent, len(p.name), p))]
    if not names:
        raise ConfigError(f"no checkpoint in {work_dir}: train first")
    are_qualities = all(name[0] == "q" and name[1:].isdecimal() for name in names)
    if are_qualities and len(names) == 1:
        return work_dir / names[0]
    listed = f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    kind = "qualities" if are_qualities else "trainings"
    raise ConfigError(
        f"{work_dir} is no training's folder, but has {kind} {listed}: name one of them"
    )


def _is_whole(path: Path) -> bool:
    """Whether a file that torch.save wrote, a zip archive, has its index and its checksums fit."""
    try:
        with ZipFile(path) as archive:
            return archive.testzip() is None
    except (BadZipFile, OSError):
        return False
