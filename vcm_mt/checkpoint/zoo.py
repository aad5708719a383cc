"""The mini zoo: small trained networks that ship inside the package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from vcm_mt.errors import ConfigError

ZOO_PREFIX = "zoo://"


def zoo_path(name: str) -> Path:
    """The file of a network of the mini zoo."""
    return Path(str(files("vcm_mt") / "zoo" / f"{name}.safetensors"))


class ZooEntry(NamedTuple):
    """What a path stands for.

    Attributes:
        path: The file.
        receiver: The receiver in it that ``zoo://NAME`` means; ``None`` for no certain one.
        quality: The quality of a codec of several that it means; ``None`` for no certain one.
    """

    path: Path
    receiver: str | None = None
    quality: int | None = None


def local_path(path: str | Path) -> Path:
    """The file that a path stands for: ``zoo://NAME`` is one of the mini zoo, which is checked.

    Raises:
        ConfigError: When the zoo has no such network, or the file is not the one that it lists.
    """
    return zoo_entry(path).path


def zoo_entry(path: str | Path) -> ZooEntry:
    """What a path stands for, and if it is ``zoo://NAME``, the part of a file that NAME means.

    A receiver has a name of its own in the zoo, and shares the file of its transmitter. So has
    each quality of a codec of several: NAME_3.

    Raises:
        ConfigError: See :func:`local_path`.
    """
    scheme, colon, rest = str(path).partition(":")  # a Path has lost a slash
    if (scheme, colon) != ("zoo", ":"):
        return ZooEntry(Path(path))
    name = rest.strip("/")
    listing = json.loads(zoo_path("zoo").with_suffix(".json").read_text())
    known = {n: entry for file, listed in listing.items() for n, entry in _names(file, listed)}
    if name not in known:
        raise ConfigError(f"the zoo has no {name!r}, but {', '.join(sorted(known))}")
    check_digest(known[name].path)
    return known[name]


def _names(file: str, listed: dict[str, Any]) -> Iterator[tuple[str, ZooEntry]]:
    """The names of a file of the zoo, of its receivers, and of each of its qualities."""
    stem = Path(file).stem
    for name, receiver in [(stem, None), *listed.get("receivers", {}).items()]:
        yield name, ZooEntry(zoo_path(stem), receiver)
        for quality in range(1, listed.get("qualities", 0) + 1):
            yield f"{name}_{quality}", ZooEntry(zoo_path(stem), receiver, quality)


def check_digest(path: Path) -> None:
    """Make sure that a file of the zoo is the one that ``zoo.json`` beside it lists.

    Raises:
        ConfigError: When its SHA-256 differs.
    """
    listed = json.loads(path.with_name("zoo.json").read_text())[path.name]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if listed["sha256"] != digest:
        raise ConfigError(
            f"{path} is not the file that zoo.json lists (SHA-256 {digest[:16]}...): "
            f"restore it, or retrain it with `{listed['command']}`"
        )
