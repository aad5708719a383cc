"""Weights and records from files: safetensors, or what ``torch.save`` wrote."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.hub import load_state_dict_from_url

from vcm_mt.checkpoint import zoo
from vcm_mt.checkpoint.safe_load import inert_logs, reason, safe_load
from vcm_mt.errors import ConfigError

#: What readers raise for a file that is damaged or holds no weights. Unpickling damaged bytes may
#: raise nearly anything.
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError),
    *(AttributeError, ImportError, OverflowError, MemoryError, AssertionError),
    *(OSError, struct.error, SafetensorError),
)


def read_state_dict(source: str) -> dict[str, Tensor]:
    """Read weights.

    Args:
        source: ``zoo://NAME`` for the mini zoo, an http(s) address, or a file;
            ``.safetensors``, or what ``torch.save`` wrote.

    Returns:
        Tensors by name, on the CPU; half-precision ones widened to float32.

    Raises:
        ConfigError: When the file is missing, unreadable, or needs code to be run.
    """
    with _telling(source):
        state = _tensors(_content(source))
    if not state:
        raise ConfigError(f"{source} holds no weights")
    return {name: _widened(value) for name, value in state.items()}


def read_record(path: Path) -> dict[str, Any]:
    """What a checkpoint of a training, or a receiver's file, says about its codec.

    Returns:
        ``codec``, the arguments of :func:`vcm_mt.models.codec.build_codec`, and ``quality``; of a
        receiver also ``name`` and ``transmitter``, the fingerprint of the one that it is for; of
        stage 2 also ``tasks`` and ``training``, ``rank`` and ``base`` of a LoRA receiver,
        ``depth`` of one with a latent adapter.

    Raises:
        ConfigError: When the file is missing, unreadable, or no such checkpoint.
    """
    _check_there(path)
    with _telling(path):
        text = _record_text(path)
    try:
        record: dict[str, Any] = json.loads(text or "")
        if isinstance(record["codec"], dict) and isinstance(record["quality"], int):
            return record
    except (KeyError, TypeError, ValueError):
        pass
    raise ConfigError(f"{path} does not say of which codec it is: give a training's checkpoint")


def _content(source: str) -> Any:
    """What an address, a file or a network of the zoo holds."""
    if source.startswith(("http://", "https://")):
        return _download(source)
    if not source.startswith(zoo.ZOO_PREFIX):
        return _load(Path(source))
    path = zoo.zoo_path(source.removeprefix(zoo.ZOO_PREFIX))
    _check_there(path)
    zoo.check_digest(path)
    return _load(path)


def _download(address: str) -> Any:
    try:
        with inert_logs():
            return load_state_dict_from_url(address, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(
            f"{address} could not be downloaded ({error}). Fetch it on a machine with "
            "network access and give the file's path instead"
        ) from error


def _load(path: Path) -> Any:
    _check_there(path)
    return load_file(path) if path.suffix == ".safetensors" else safe_load(path)


def _record_text(path: Path) -> Any:
    """The record as JSON; ``None`` where there is none."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("record")
    content = safe_load(path)
    return content.get("meta", {}).get("record") if isinstance(content, dict) else None


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"no weights at {path}")


@contextmanager
def _telling(source: str | Path) -> Iterator[None]:
    """Turn whatever reading a damaged file raises into one line that names it."""
    try:
        yield
    except ConfigError:
        raise
    except _UNREADABLE as error:
        raise ConfigError(
            f"{source} is not a readable file of weights ({reason(error)}): give a checkpoint"
        ) from error


def _tensors(content: object) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the one in a checkpoint: OpenMMLab's, or YOLOX's."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary of weights")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
