"""The mini zoo: small trained networks that ship inside the package."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

from vcm_mt.errors import ConfigError

ZOO_PREFIX = "zoo://"


def zoo_path(name: str) -> Path:
    """The file of a network of the mini zoo."""
    return Path(str(files("vcm_mt") / "zoo" / f"{name}.safetensors"))


def local_path(path: str | Path) -> Path:
    """The file that a path stands for: ``zoo://NAME`` is one of the mini zoo, which is checked.

    Raises:
        ConfigError: When the zoo has no such network, or the file is not the one that it lists.
    """
    return zoo_receiver(path)[0]


def zoo_receiver(path: str | Path) -> tuple[Path, str | None]:
    """The file that a path stands for, and the receiver in it that ``zoo://NAME`` means.

    A receiver has a name of its own in the zoo, and shares the file of its transmitter.

    Raises:
        ConfigError: See :func:`local_path`.
    """
    scheme, colon, rest = str(path).partition(":")  # a Path has lost a slash
    if (scheme, colon) != ("zoo", ":"):
        return Path(path), None
    name = rest.strip("/")
    listing = json.loads(zoo_path("zoo").with_suffix(".json").read_text())
    known = {Path(file).stem: (file, None) for file in listing}
    for file, entry in listing.items():
        known |= {alias: (file, receiver) for alias, receiver in entry.get("receivers", {}).items()}
    if name not in known:
        raise ConfigError(f"the zoo has no {name!r}, but {', '.join(sorted(known))}")
    file, receiver = known[name]
    check_digest(zoo_path(Path(file).stem))
    return zoo_path(Path(file).stem), receiver


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
