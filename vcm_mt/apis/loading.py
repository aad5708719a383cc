"""Loading of trained codecs: transmitter, receivers and record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vcm_mt.checkpoint import read_record, read_state_dict, training_checkpoint, zoo_entry
from vcm_mt.device import pick_device
from vcm_mt.errors import ConfigError
from vcm_mt.models import receivers, transmitter
from vcm_mt.models.codec import build_codec


def load_training(
    path: str | Path, device: str | torch.device | None = None
) -> tuple[transmitter.Transmitter, dict[str, receivers.Receiver], dict[str, Any]]:
    """Load the transmitter, the receivers by name, and the record of a training.

    Args:
        path: Its folder or a checkpoint.
        device: See :func:`vcm_mt.device.pick_device`.

    Raises:
        ConfigError: If there is no checkpoint of a training, or the device is not available.
    """
    place, file = pick_device(device), training_checkpoint(Path(path))
    record = read_record(file)
    state = read_state_dict(str(file))
    names = sorted({key.split(".")[1] for key in state if key.startswith("receivers.")})
    kind = record.get("rank", 0), record.get("depth", 0)
    wanted = {k: v for k, v in state.items() if k.startswith(("transmitter.", "receivers."))}
    try:
        codec = build_codec(**record["codec"])
        quality = zoo_entry(path).quality or record["quality"]
        network = transmitter.Transmitter(
            codec, quality, gains=record.get("gains", ()), temporal=record.get("temporal", 0)
        )
        known = {
            name: receivers.Receiver(build_codec(**record["codec"]).g_s, *kind) for name in names
        }
        parts = nn.ModuleDict({"transmitter": network, "receivers": nn.ModuleDict(known)})
        parts.load_state_dict(wanted)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise misfit(file, error) from error
    to_device(parts, place)
    return network, known, record


def misfit(path: Path, error: Exception) -> ConfigError:
    """The error for a file whose weights do not match the codec in its record."""
    first = " ".join(str(error).split())[:200]
    return ConfigError(f"{path} does not fit the codec that it names: {first}")


def below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a state dict below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def to_device(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device, in channels_last, where convolutions are fastest."""
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
