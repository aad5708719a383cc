"""The folders of a training with several quality levels: where each level and receiver is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from vcm_mt.checkpoint import (
    find_checkpoint,
    list_checkpoints,
    read_record,
    training_checkpoint,
    zoo_entry,
)
from vcm_mt.errors import ConfigError


def find_stage1(path: Path, qualities: Sequence[int] | None = None) -> dict[int, Path]:
    """Checkpoints of stage 1 by quality level; by 0 the one of all levels.

    Args:
        path: A training's folder with ``q1``, ``q2``, ...; that of one level, or of a codec of
            variable rate; a checkpoint; or ``zoo://NAME``.
        qualities: The levels wanted; by default all that are there.

    Raises:
        ConfigError: When there is no such training or level.
    """
    path, _, level = zoo_entry(path)
    qualities = qualities or ([level] if level else None)
    if path.is_file() or list_checkpoints(path):
        checkpoint = training_checkpoint(path)
        record = read_record(checkpoint)
        if "gains" in record:
            _only(path, qualities, range(1, len(record["gains"]) + 1))
            return {0: checkpoint}
        if qualities and len(qualities) > 1:
            raise ConfigError(f"{path} is one level of stage 1, not {len(qualities)}")
        if record["quality"]:
            _only(path, qualities, [record["quality"]])
        return {(qualities or [_level(path)])[0]: checkpoint}
    folders = {_level(folder): folder for folder in path.glob("q*") if _level(folder)}
    trained = {q: f for q, f in sorted(folders.items()) if list_checkpoints(f)}
    if not trained:
        raise ConfigError(
            f"no stage 1 at {path}: train it first, `vcm-mt train CONFIG`, "
            "or name its folder with --stage1"
        )
    _only(path, qualities, trained)
    return {quality: find_checkpoint(trained[quality]) for quality in qualities or trained}


def _only(path: Path, wanted: Sequence[int] | None, known: Collection[int]) -> None:
    missing = [quality for quality in wanted or () if quality not in known]
    if missing:
        raise ConfigError(f"{path} has levels {list(known)}, not {missing}")


def level_dir(folder: Path, quality: int) -> Path:
    """Where a level's files go; all levels' (0) go into the folder itself."""
    return folder / f"q{quality}" if quality else folder


def receiver_files(folders: Sequence[Path], quality: int) -> list[Path]:
    """The files of stage 2's receivers for a level (0: for all levels), one of each folder.

    Raises:
        ConfigError: When a folder has none, or several.
    """
    files = []
    for folder in folders:
        place = level_dir(folder, quality)
        inside = sorted(place.glob("*.safetensors"))
        if len(inside) != 1:
            raise ConfigError(
                f"{place} holds {len(inside)} receivers, not one: train it with "
                "`vcm-mt finetune`, or leave that level out with --quality"
            )
        files += inside
    return files


def checkpoint_level(checkpoint: Path, wanted: int | None) -> int:
    """The level of a checkpoint; of a variable rate the one that is wanted, or the middle one.

    Raises:
        ConfigError: When the checkpoint does not have the level that is wanted.
    """
    record = read_record(checkpoint)
    known = range(1, len(record["gains"]) + 1) if "gains" in record else [record["quality"]]
    if wanted is not None and wanted not in known:
        raise ConfigError(f"{checkpoint} has level {', '.join(map(str, known))}, not {wanted}")
    return known[len(known) // 2] if wanted is None else wanted


def _level(path: Path) -> int:
    """The number in ``q3``; 0 for another name."""
    name = path.parent.name if path.suffix else path.name
    return int(name[1:]) if name[:1] == "q" and name[1:].isdigit() else 0
