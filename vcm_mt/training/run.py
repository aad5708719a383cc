"""One training on the mmengine Runner."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import init_dist

from vcm_mt.checkpoint import find_checkpoint, list_checkpoints, read_record
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.errors import ConfigError
from vcm_mt.files import write_atomically
from vcm_mt.training.config import use_amp
from vcm_mt.training.processes import keep_memory
from vcm_mt.training.runner import build_runner
from vcm_mt.training.work_dir import own_work_dirs

_CODECS = ("VCMSystem", "ReceiverSystem")


def train(
    config: Config,
    work_dir: Path,
    resume: bool = False,
    amp: str | None = None,
    launcher: str = "none",
) -> None:
    """Train what a config describes.

    Args:
        config: Of one training, see :mod:`vcm_mt.training.config`.
        work_dir: Where logs and checkpoints go.
        resume: Go on from the last whole checkpoint there; start where there is none.
        amp: Precision of transforms and frozen networks in place of the config's, see
            :func:`vcm_mt.models.precision.amp_dtype`.
        launcher: ``none``, ``pytorch`` or ``slurm``.

    Raises:
        ConfigError: When ``amp`` is asked for something else than a codec, when of the checkpoints
            to go on from none is whole, when the folder cannot be written, or mmcv's ops do not
            run on the device.
        TrainingError: When another training is at work in the folder, or this one can't go on,
            see :mod:`vcm_mt.engine.finite` and ``checkpoints``.
    """
    config.work_dir = str(work_dir)
    config.launcher = launcher
    join_processes(launcher, config)
    if not torch.cuda.is_available():
        keep_memory()
    if amp is not None and config.model.type not in _CODECS:
        raise ConfigError(f"--amp is for codecs, {config.filename} trains a task network")
    use_amp(config, amp)
    _check_accumulation(config)
    with own_work_dirs([work_dir]):
        if resume and list_checkpoints(work_dir):
            config.load_from, config.resume = str(find_checkpoint(work_dir)), True
        if config.get("load_from") and config.model.type == "VCMSystem":
            _check_codec(Path(config.load_from), config.model.codec)
        build_runner(config).train()


def _check_codec(start: Path, wanted: Config) -> None:
    """Refuse a checkpoint of another codec: mmengine would skip what does not fit and train on."""
    given = ("checkpoint", "pretrained", "quality", "fast")
    codecs = [
        {key: value for key, value in codec.items() if key not in given}
        for codec in (read_record(start)["codec"], wanted)
    ]
    if codecs[0] != codecs[1]:
        raise ConfigError(
            f"{start} is of another codec, {codecs[0]}, than the config's, {codecs[1]}"
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
    """Write ``rates.md``: what levels with a target rate were trained to.

    Args:
        work_dir: Folder above those of the levels.
        levels: Levels that are trained; those without a target rate are left out.

    Returns:
        The table: by level the target and the real rate in bpp, and lambda.
    """
    rows = []
    for level in levels:
        found = read_record(find_checkpoint(work_dir / f"q{level}")).get("rate_target")
        if found is not None:
            target, bpp, lmbda = found["target"], found["bpp"], found["lmbda"]
            off = f"{bpp / target - 1:+.1%}"
            rows.append((str(level), f"{target:.4f}", f"{bpp:.4f}", off, f"{lmbda:.5f}"))
    table = markdown_table(("level", "target bpp", "real bpp", "deviation", "lambda"), rows)
    write_atomically(work_dir / "rates.md", [table.encode()])
    return table


def join_processes(launcher: str, config: Config | None = None) -> None:
    """Join the other processes of a launcher.

    Args:
        launcher: ``none``, ``pytorch`` or ``slurm``.
        config: Whose ``env_cfg.dist_cfg`` holds where there are GPUs.

    Raises:
        ConfigError: When the processes were not started by that launcher, or do not meet.
    """
    if launcher == "none" or torch.distributed.is_initialized():
        return
    variables = {"pytorch": "RANK", "slurm": "SLURM_PROCID"}
    if variables[launcher] not in os.environ:
        raise ConfigError(
            f"--launcher {launcher} is for processes that it started ({variables[launcher]} is "
            "not set): use tools/dist_train.sh or tools/slurm_train.sh, or leave the option out"
        )
    try:
        if torch.cuda.is_available():
            options = config.get("env_cfg", {}).get("dist_cfg", {}) if config is not None else {}
            init_dist(launcher, **options)
        else:  # which mmengine's own start of the processes asks for
            if launcher == "slurm":
                _meet_by_slurm()
            torch.distributed.init_process_group("gloo")
    except (torch.distributed.DistError, ValueError, KeyError, subprocess.SubprocessError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"the processes of this training do not meet ({type(error).__name__}: {reason}): see "
            "MASTER_ADDR and MASTER_PORT, PORT of tools/dist_train.sh and tools/slurm_train.sh"
        ) from error


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
