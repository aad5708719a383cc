"""Building of a system from its config and checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from vcm_mt.checkpoint import read_state_dict
from vcm_mt.device import detector_device
from vcm_mt.errors import ConfigError
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODELS


def build_system(
    config: Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
) -> VCMSystem:
    """Build a system in eval mode, with entropy tables.

    Args:
        config: The config of one quality, see :func:`vcm_mt.training.config.at_level`.
        checkpoint: A checkpoint of its training. Without one, the codec has the weights from
            which training starts, and its entropy tables are built if they are missing. Receivers
            in it that no task of the config looks through are left out. A ``TemporalSystem`` takes
            stage 1 from it as well.
        device: See :func:`vcm_mt.device.pick_device`.

    Raises:
        ConfigError: If the checkpoint has another architecture or no tables, or the device is not
            available.
    """
    place = detector_device(device)
    model = config.model
    if checkpoint is not None and model.type == "TemporalSystem":
        model = {**model, "stage1": str(checkpoint)}
    with DefaultScope.overwrite_default_scope(config.default_scope):
        system = MODELS.build(model)
    if checkpoint is not None:
        _load(system, str(checkpoint))
    elif not system.transmitter.entropy.has_tables:
        system.transmitter.update_tables()
    return system.to(place).eval()


def _is_other_receiver(key: str, system: VCMSystem) -> bool:
    part, _, rest = key.partition(".")
    return part == "receivers" and rest.partition(".")[0] not in system.receivers


def _load(system: VCMSystem, checkpoint: str) -> None:
    state = read_state_dict(checkpoint)
    state = {key: value for key, value in state.items() if not _is_other_receiver(key, system)}
    try:
        system.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ConfigError(
            f"{checkpoint} has the weights of another architecture than the config: "
            f"{lines[1].strip()[:200] if len(lines) > 1 else lines[0]}"
        ) from error
    if not system.transmitter.entropy.has_tables:
        raise ConfigError(
            f"{checkpoint} has no entropy tables: give a checkpoint that training wrote"
        )
