"""Load weights into a network that they must fit exactly, and tell two networks apart."""

from __future__ import annotations

import hashlib
import os

from torch import Tensor, nn

from vcm_mt.errors import ConfigError


def fingerprint(part: nn.Module, of: str = "", without: str = " ") -> str:
    """SHA-256 over a network's parameters and buffers and their names, hexadecimal.

    Args:
        part: The network.
        of: Prefix of the names that count.
        without: Prefix of names that do not.
    """
    digest = hashlib.sha256()
    for name, value in sorted(part.state_dict().items()):
        if not name.startswith(of) or name.startswith(without):
            continue
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_strictly(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load weights that must fit exactly.

    Names of older versions fit where the network itself renames them, as mmdet's heads do. A
    prefix that all names share, as ``module.`` of DistributedDataParallel, is removed if needed;
    so are the copies of a network that mmdet's training keeps (``ema_...``, YOLOX).

    Args:
        module: The network.
        state: Its parameters and buffers by name.
        source: Where they are from, for errors.

    Raises:
        ConfigError: When names or shapes differ; the message counts them and names the first three.
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
    differences = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in _differences(own, closest).items()
        if keys
    ]
    raise ConfigError(
        f"{source} holds the weights of another architecture than "
        f"{type(module).__name__}: {'; '.join(differences)}"
    )


def take_over(module: nn.Module, state: dict[str, Tensor], prefix: str, source: str) -> None:
    """Load the part of a training's weights whose names begin with a prefix.

    Raises:
        ConfigError: When there are none, or they do not fit.
    """
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if not own:
        raise ConfigError(f"{source} has no {prefix[:-1]}: give a checkpoint of stage 1")
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise ConfigError(f"{source} does not fit its own record: {error}") from error


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
    """The prefixes that all names share, of one, two and more parts."""
    common = os.path.commonprefix(list(state))
    return [common[: at + 1] for at, sign in enumerate(common) if sign == "."]


def _differences(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, list[str]]:
    """The names that do not fit, by what is wrong with them."""
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
    """Try to load weights that the network may rename itself; return whether all of them fit."""
    try:
        missing, foreign = module.load_state_dict(dict(state), strict=False)
    except (RuntimeError, KeyError):  # another shape; CompressAI's tables
        return False
    return not foreign and all(_optional(key) for key in missing)


def _optional(key: str) -> bool:
    """Whether a name may be absent: entropy tables, which are rebuilt, and unused counters."""
    return key.rsplit(".", 1)[-1] in {
        "_quantized_cdf",
        "_offset",
        "_cdf_length",
        "scale_table",
        "num_batches_tracked",
    }
