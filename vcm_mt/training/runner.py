"""mmengine's Runner on the devices and platforms that this package knows."""

from __future__ import annotations

import sys
from typing import Any

import mmengine.device.utils
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from vcm_mt.checkpoint import ZOO_PREFIX, read_state_dict
from vcm_mt.device import detector_device


def build_runner(config: Config) -> Runner:
    """Build the Runner of a training, on a GPU where PyTorch has one, else on the CPU.

    mmengine would take a Mac's mps too, see :func:`vcm_mt.device.pick_device`. A data loader's
    workers are spawned there: Apple's libraries do not survive a fork.

    Raises:
        ConfigError: When mmcv's ops do not run on that device.
    """
    mmengine.device.utils.DEVICE = detector_device().type  # what the Runner asks
    if sys.platform == "darwin":
        config.merge_from_dict({"env_cfg.mp_cfg.mp_start_method": "spawn"})
    return Runner.from_cfg(config)


@CheckpointLoader.register_scheme(prefixes=ZOO_PREFIX)
def _from_zoo(filename: str, map_location: Any = None) -> dict[str, Any]:  # noqa: ARG001
    """Weights of the zoo for ``init_cfg=dict(type="Pretrained", checkpoint="zoo://NAME")``."""
    return read_state_dict(filename)
