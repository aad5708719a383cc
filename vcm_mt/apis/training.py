"""One training on the mmengine Runner."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.runner import Runner

from vcm_mt.apis.processes import keep_memory
from vcm_mt.checkpoint import find_checkpoint, list_checkpoints, read_record
from vcm_mt.errors import ConfigError

_CODECS = ("VCMSystem", "ReceiverSystem")


def train(
    config: Config, work_dir: Path, resume: bool = False, amp: bool = False, launcher: str = "none"
) -> None:
    """Train what a config describes.

    Args:
        config: Of one training, see :mod:`vcm_mt.apis.config`.
        work_dir: Where logs and checkpoints go.
        resume: Go on from the last whole checkpoint there; start where there is none.
        amp: bfloat16 in the codec's transforms, see :mod:`vcm_mt.models.precision`.
        launcher: ``none``, ``pytorch`` or ``slurm``.

    Raises:
        ConfigError: When ``amp`` is asked for something else than a codec, or of the checkpoints
            to go on from none is whole.
        TrainingError: When it can't go on, see :mod:`vcm_mt.engine.finite` and ``checkpoints``.
    """
    config.work_dir = str(work_dir)
    config.launcher = launcher
    if resume and list_checkpoints(work_dir):
        config.load_from, config.resume = str(find_checkpoint(work_dir)), True
    join_on_cpus(launcher)
    if not torch.cuda.is_available():
        keep_memory()
    if amp:
        if config.model.type not in _CODECS:
            raise ConfigError(f"--amp is for codecs, {config.filename} trains a task network")
        config.model.amp = True
    _check_accumulation(config)
    if config.get("load_from") and config.model.type == "VCMSystem":
        _check_codec(Path(config.load_from), config.model.codec)
    Runner.from_cfg(config).train()


def _check_codec(start: Path, wanted: Config) -> None:
    """Refuse what does not fit: left to itself, mmengine leaves it out and trains on."""
    given = ("checkpoint", "pretrained", "quality")
    codecs = [
        {key: value for key, value in codec.items() if key not in given}
        for codec in (read_record(start)["codec"], wanted)
    ]
    if codecs[0] != codecs[1]:
        raise ConfigError(
            f"{start} is of another codec, {codecs[0]}, than what is to be trained, {codecs[1]}"
        )


def _check_accumulation(config: Config) -> None:
    wrapper = config.get("optim_wrapper", {})
    counts = [one.get("accumulative_counts", 1) for one in (wrapper, *wrapper.values())
              if isinstance(one, dict)]  # fmt: skip
    interval = config.get("default_hooks", {}).get("checkpoint", {}).get("interval", 1)
    for count in counts:
        if interval % count:
            raise ConfigError(
                f"a checkpoint every {interval} iterations would fall between the {count} whose "
                "gradients are summed, and lose them: make default_hooks.checkpoint.interval a "
                f"multiple of {count}"
            )


def write_rates(work_dir: Path, levels: Sequence[int]) -> str:
    """What became of levels with a target rate, as ``rates.md``: lambda and real bpp.

    Returns:
        The table.
    """
    lines = ["| level | target bpp | real bpp | deviation | lambda |", "|---|---|---|---|---|"]
    for level in levels:
        found = read_record(find_checkpoint(work_dir / f"q{level}")).get("rate_target")
        if found is not None:
            target, bpp, lmbda = found["target"], found["bpp"], found["lmbda"]
            off = f"{bpp / target - 1:+.1%}"
            lines.append(f"| {level} | {target:.4f} | {bpp:.4f} | {off} | {lmbda:.5f} |")
    table = "\n".join(lines) + "\n"
    (work_dir / "rates.md").write_text(table)
    return table


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
