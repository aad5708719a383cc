"""Which device networks run on."""

from __future__ import annotations

import torch

from vcm_mt.compat import check_ops
from vcm_mt.errors import ConfigError


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device that a caller names, or the one to take where none is named.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``; by default ``cuda`` where PyTorch has a GPU, else
            ``cpu``. Apple's ``mps`` is never taken: it lacks the float64 that entropy parameters
            are computed in.

    Raises:
        ConfigError: For another device, or a GPU that is not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        return torch.device("cuda" if gpus else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device {str(device)!r} is none: name cpu, cuda or cuda:N") from error
    if found.type not in ("cpu", "cuda"):
        why = ", which has no float64," if found.type == "mps" else ""
        raise ConfigError(f"device {str(device)!r}{why} cannot be used: name cpu, cuda or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise ConfigError(
            f"device {str(device)!r} is not there, PyTorch sees {gpus} GPUs: name cpu, or install "
            "a PyTorch for the GPU"
        )
    return found


def detector_device(device: str | torch.device | None = None) -> torch.device:
    """The same for what holds detectors, whose ops mmcv may have been built without.

    Raises:
        ConfigError: For another device, a GPU that is not there, or one that mmcv's ops lack.
    """
    place = pick_device(device)
    check_ops(str(place))
    return place


def known_devices() -> list[str]:
    """The devices that this machine has: ``cpu``, and ``cuda`` where PyTorch sees a GPU."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
