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
