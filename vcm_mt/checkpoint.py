"""Weights from files: safetensors or weights-only PyTorch, never a pickle that runs code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import warnings
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url

from vcm_mt.errors import ConfigError

#: What readers raise for a file that is damaged or no weights; unpickling may raise anything.
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError),
    *(AttributeError, ImportError, OverflowError, MemoryError, SafetensorError),
)
#: How files start that torch.save writes: zip archives, and pickles of older versions.
_MAGIC = (b"PK", b"\x80")
ZOO_PREFIX = "zoo://"
_CHECKPOINTS = ("iter_*.pth", "epoch_*.pth")


def zoo_path(name: str) -> Path:
    """The file of a network of the mini zoo, which ships inside the package."""
    return Path(str(files("vcm_mt") / "zoo" / f"{name}.safetensors"))


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
    state = _widen(_read(source))
    if not state:
        raise ConfigError(f"{source} holds no weights")
    return state


def read_record(path: Path) -> dict[str, Any]:
    """What a checkpoint of a training, or a receiver's file, says about its codec.

    Returns:
        ``codec``, the arguments of :func:`vcm_mt.models.codec.build_codec`, and ``quality``; of a
        receiver also ``name`` and ``transmitter``, the fingerprint of the one that it is for; of
        stage 2 also ``tasks`` and ``training``, ``rank`` and ``base`` of a light receiver,
        ``depth`` of a deep one.

    Raises:
        ConfigError: When the file is missing, unreadable, or no such checkpoint.
    """
    if not path.is_file():
        raise ConfigError(f"no weights at {path}")
    if path.suffix == ".safetensors":
        record = _metadata(path).get("record")
    else:
        loaded = _load(path)
        record = loaded.get("meta", {}).get("record") if isinstance(loaded, dict) else None
    try:
        found: dict[str, Any] = json.loads(record or "")
        if isinstance(found["codec"], dict) and isinstance(found["quality"], int):
            return found
    except (KeyError, TypeError, ValueError):
        pass
    raise ConfigError(f"{path} does not say of which codec it is: give a training's checkpoint")


def list_checkpoints(work_dir: Path) -> list[Path]:
    """The checkpoints of a training, whole or not: the one that it points to, then by age."""
    found = [path for pattern in _CHECKPOINTS for path in work_dir.glob(pattern)]
    found.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    pointer = work_dir / "last_checkpoint"
    named = Path(pointer.read_text(errors="replace").strip()) if pointer.is_file() else Path()
    last = work_dir / named.name  # the folder may have moved
    if last.is_file():
        return [last, *(path for path in found if path != last)]
    return found or [path for path in [named] if path.is_file()]


def find_checkpoint(work_dir: Path) -> Path:
    """The last checkpoint of a training that is whole.

    Args:
        work_dir: The training's folder, or the one above it if no other level is there.

    Raises:
        ConfigError: When there is none, or there are several levels.
    """
    known = list_checkpoints(work_dir)
    if not known:
        return find_checkpoint(_only_level(work_dir))
    for number, path in enumerate(known):
        if _is_whole(path):
            if number:
                torn = ", ".join(map(str, known[:number]))
                warnings.warn(f"{torn} is damaged: {path} is taken", stacklevel=2)
            return path
    raise ConfigError(
        f"no checkpoint in {work_dir} is whole ({', '.join(path.name for path in known)}): "
        "restore one, or remove them and start anew"
    )


def training_checkpoint(path: Path) -> Path:
    """The checkpoint of a training that a path stands for: a file, or a folder's last one.

    Raises:
        ConfigError: When there is none, or it is a receiver's file, which holds no transmitter.
    """
    if path.is_dir():
        return find_checkpoint(path)
    if path.suffix == ".safetensors" and "transmitter" in read_record(path):
        raise ConfigError(
            f"{path} is a receiver's file, which cannot encode: give the training's checkpoint "
            "or folder"
        )
    return path


def _only_level(work_dir: Path) -> Path:
    """The folder of the one level that was trained in a folder."""
    files = [
        p for depth in ("*", "*/*") for c in _CHECKPOINTS for p in work_dir.glob(f"{depth}/{c}")
    ]
    found = {path.parent.relative_to(work_dir) for path in files}
    names = [str(place) for place in sorted(found, key=lambda p: (p.parent, len(p.name), p))]
    if not names:
        raise ConfigError(f"no checkpoint in {work_dir}: train first")
    are_levels = all(name[0] == "q" and name[1:].isdecimal() for name in names)
    if are_levels and len(names) == 1:
        return work_dir / names[0]
    told = f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    raise ConfigError(
        f"{work_dir} is no training's folder, but has {'levels' if are_levels else 'trainings'} "
        f"{told}: name one of them"
    )


def _is_whole(path: Path) -> bool:
    """What torch.save writes is a zip archive: its index stands last, its parts have checksums."""
    try:
        with ZipFile(path) as archive:
            return archive.testzip() is None
    except (BadZipFile, OSError):
        return False


def fingerprint(part: nn.Module) -> str:
    """SHA-256 over a network's parameters and buffers and their names, hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(part.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(source: str) -> dict[str, Tensor]:
    if source.startswith(("http://", "https://")):
        try:
            return _unwrap(load_state_dict_from_url(source, map_location="cpu", weights_only=True))
        except OSError as error:
            raise ConfigError(
                f"{source} could not be downloaded ({error}). Fetch it on a machine with "
                "network access and give the file's path instead"
            ) from error
    path = zoo_path(source.removeprefix(ZOO_PREFIX)) if source.startswith(ZOO_PREFIX) else source
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no weights at {path}")
    if source.startswith(ZOO_PREFIX):
        _check_digest(path)
    loaded = _load(path)
    try:
        return _unwrap(loaded)
    except ValueError as error:
        raise _unreadable(path, error) from error


def _load(path: Path) -> Any:
    """A file's content, without running code that it may hold."""
    if not path.is_file():
        raise ConfigError(f"no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with path.open("rb") as file:
            if not file.read(4).startswith(_MAGIC):
                raise ValueError("it is none that PyTorch wrote")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            return torch.load(path, map_location="cpu", pickle_module=_mmengine, weights_only=False)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    """What to say of a file that holds no weights, in a line."""
    first = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return ConfigError(f"{path} is not a readable file of weights ({first}): give a checkpoint")


class _Inert:
    """Stands for an object that is not needed: takes everything, does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Reads mmengine's checkpoints, whose logs hold more than PyTorch's safe loading lets in.

    Nothing is called but what rebuilds tensors: the logs' classes are inert, others are refused.
    """

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in _LOGS:
            return _Inert
        if (module, name) in _TENSORS or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which may run code")


_LOGS = {
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    "__builtin__.getattr",
    "_codecs.encode",
    *(
        f"numpy{core}"
        for core in (
            *(".dtype", ".ndarray"),
            *(
                f".{m}.multiarray.{f}"
                for m in ("core", "_core")
                for f in ("scalar", "_reconstruct")
            ),
        )
    ),
}
_TENSORS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
}


def _load_pickle(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


#: What torch.load takes in place of the module ``pickle``.
_mmengine = SimpleNamespace(Unpickler=_Unpickler, load=_load_pickle, __name__="mmengine")


def _metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _check_digest(path: Path) -> None:
    listing = json.loads(path.with_name("zoo.json").read_text())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if listing[path.name]["sha256"] != found:
        raise ConfigError(
            f"{path} is not the file that zoo.json lists (SHA-256 {found[:16]}...): "
            f"restore it, or retrain it with `{listing[path.name]['command']}`"
        )


def _unwrap(loaded: object) -> dict[str, Tensor]:
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict):
        raise ValueError("it holds no dictionary of weights")
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def _widen(state: dict[str, Tensor]) -> dict[str, Tensor]:
    half = (torch.float16, torch.bfloat16)
    return {key: v.float() if v.dtype in half else v for key, v in state.items()}


def load_strictly(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load weights that must fit exactly.

    Names of older versions fit where the network itself renames them, as mmdet's heads do. What
    all names begin with, as ``module.`` of DistributedDataParallel, is left out where it is in the
    way; so are copies that mmdet's training kept of a network (``ema_...``, YOLOX).

    Raises:
        ConfigError: When names or shapes differ; says how many and which the first are.
    """
    own = module.state_dict()
    parts = [_without(prefix, own, state) for prefix in ("", *_prefixes(state))]
    for part in parts:
        wrong = _differences(own, part)
        if not any(wrong.values()):
            # CompressAI's load_state_dict looks every table up, also those that were left out.
            module.load_state_dict(own | part)
            return
        if not wrong["of another shape"] and _renames(module, part):
            return
    if inner := _inner(own, state):
        raise ConfigError(
            f"{source} holds other weights beside those of {type(module).__name__}, whose names "
            f"begin with {' or '.join(inner)}: save these alone, without that prefix"
        )
    closest = max(parts, key=lambda part: len(own.keys() & part.keys()))
    told = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in _differences(own, closest).items()
        if keys
    ]
    raise ConfigError(
        f"{source} holds the weights of another architecture than "
        f"{type(module).__name__}: {'; '.join(told)}"
    )


def _without(prefix: str, own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights without a prefix of all their names, and without the copies that mmdet keeps."""
    part = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: value for key, value in part.items() if key in own or key[:4] != "ema_"}


def _inner(own: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """Prefixes under which a whole network lies among other weights."""
    needed = [key for key in own if not _optional(key)]
    first = needed[0] if needed else ""
    ends = {key.removesuffix(first) for key in state if key.endswith(f".{first}")}
    return [
        prefix
        for prefix in sorted(ends.difference(_prefixes(state)))
        if all(prefix + key in state for key in needed)
    ]


def _prefixes(state: dict[str, Tensor]) -> list[str]:
    """What all names begin with, one, two and more of their parts."""
    common = os.path.commonprefix(list(state))
    return [common[: at + 1] for at, sign in enumerate(common) if sign == "."]


def _differences(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, list[str]]:
    """Names that do not fit, by what is wrong with them."""
    return {
        "missing": [key for key in own if key not in state and not _optional(key)],
        "not in the network": [key for key in state if key not in own],
        "of another shape": [
            key
            for key in state
            if key in own and own[key].shape != state[key].shape and not _optional(key)
        ],
    }


def _renames(module: nn.Module, state: dict[str, Tensor]) -> bool:
    """Load weights whose names the network may know from older versions; whether it does."""
    try:
        missing, foreign = module.load_state_dict(dict(state), strict=False)
    except (RuntimeError, KeyError):  # another shape; CompressAI's tables
        return False
    return not foreign and all(_optional(key) for key in missing)


def _optional(key: str) -> bool:
    """Entropy tables, whose size is data, and counters that eval mode never reads."""
    return key.rsplit(".", 1)[-1] in {
        "_quantized_cdf",
        "_offset",
        "_cdf_length",
        "scale_table",
        "num_batches_tracked",
    }
