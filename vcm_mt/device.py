"""Which device networks run on."""

from __future__ import annotations

import torch

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


def check_ops(device: str) -> None:
    """Run one of mmcv's compiled ops on the device that will be used.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ConfigError: When mmcv was built without that device, or for other GPUs.
    """
    from mmcv.ops import nms

    try:
        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], device=device)
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1].tolist()
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        if "not found" in reason or "not compiled" in reason.lower():
            reason = f"it was built without {device.split(':')[0].upper()}"
        raise ConfigError(
            f"mmcv's ops do not run on {device} ({reason}): build mmcv for it, which `make setup` "
            "does where it finds nvcc, or hide the GPU with CUDA_VISIBLE_DEVICES=-1"
        ) from error
    if kept != [0, 2]:
        raise ConfigError(f"mmcv's nms kept boxes {kept} instead of [0, 2] on {device}: rebuild it")


def known_devices() -> list[str]:
    """The devices that this machine has: ``cpu``, and ``cuda`` where PyTorch sees a GPU."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
