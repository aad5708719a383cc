"""One training on the mmengine Runner."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.runner import Runner

from vcm_mt.errors import ConfigError

_CODECS = ("VCMSystem", "ReceiverSystem")


def train(
    config: Config, work_dir: Path, resume: bool = False, amp: bool = False, launcher: str = "none"
) -> None:
    """Train what a config describes.

    Args:
        config: Of one training, see :mod:`vcm_mt.apis.config`.
        work_dir: Where logs and checkpoints go.
        resume: Go on from the last checkpoint there, if there is one.
        amp: bfloat16 in the codec's transforms, see :mod:`vcm_mt.models.precision`.
        launcher: ``none``, ``pytorch`` or ``slurm``.

    Raises:
        ConfigError: When ``amp`` is asked for something else than a codec.
    """
    config.work_dir = str(work_dir)
    config.launcher = launcher
    if resume and (work_dir / "last_checkpoint").is_file():
        # With both, mmengine would go on from the start weights as if they were this training's.
        config.load_from, config.resume = None, True
    join_on_cpus(launcher)
    if amp:
        if config.model.type not in _CODECS:
            raise ConfigError(f"--amp is for codecs, {config.filename} trains a task network")
        config.model.amp = True
    Runner.from_cfg(config).train()


def join_processes(launcher: str) -> None:
    """Join the other processes of a launcher: ``none``, ``pytorch`` or ``slurm``."""
    join_on_cpus(launcher)
    if launcher != "none" and not torch.distributed.is_initialized():
        init_dist(launcher)


def join_on_cpus(launcher: str) -> None:
    """The same where there is no GPU, which mmengine's own start of the processes asks for.

    Raises:
        ConfigError: When the processes were not started by that launcher.
    """
    if launcher == "none" or torch.distributed.is_initialized():
        return
    variables = {"pytorch": "RANK", "slurm": "SLURM_PROCID"}
    if variables[launcher] not in os.environ:
        raise ConfigError(
            f"--launcher {launcher} is for processes that it started ({variables[launcher]} is "
            "not set): use tools/dist_train.sh or tools/slurm_train.sh, or leave the option out"
        )
    if not torch.cuda.is_available():
        if launcher == "slurm":
            _meet_by_slurm()
        torch.distributed.init_process_group("gloo")


def _meet_by_slurm() -> None:
    """What torch asks for, from what srun says; as mmengine does it where there are GPUs."""
    says = os.environ
    nodes = subprocess.run(
        ["scontrol", "show", "hostnames", says["SLURM_NODELIST"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    says.setdefault("MASTER_ADDR", nodes.stdout.split()[0])
    says.setdefault("MASTER_PORT", "29500")
    says["RANK"], says["WORLD_SIZE"] = says["SLURM_PROCID"], says["SLURM_NTASKS"]
    says["LOCAL_RANK"] = says.get("SLURM_LOCALID", "0")
