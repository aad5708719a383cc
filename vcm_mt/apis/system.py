"""A trained system from its config and checkpoint."""

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
    """Build a system, ready to send pictures.

    Args:
        config: Of one rate point, see :func:`vcm_mt.training.config.at_level`.
        checkpoint: What training wrote. Without one, the codec is as it starts training, and
            its entropy tables are built if its weights came without.
        device: See :func:`vcm_mt.device.pick_device`.

    Raises:
        ConfigError: When the checkpoint is another architecture's or holds no tables, or the
            device is not there.
    """
    place = detector_device(device)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        system = MODELS.build(config.model)
    if checkpoint is not None:
        _load(system, str(checkpoint))
    elif not system.transmitter.entropy.has_tables:
        system.transmitter.update_tables()
    return system.to(place).eval()


def _load(system: VCMSystem, checkpoint: str) -> None:
    state = read_state_dict(checkpoint)
    try:
        system.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ConfigError(
            f"{checkpoint} holds the weights of another architecture than the config's: "
            f"{lines[1].strip()[:200] if len(lines) > 1 else lines[0]}"
        ) from error
    if not system.transmitter.entropy.has_tables:
        raise ConfigError(f"{checkpoint} holds no entropy tables: it was not written by training")
