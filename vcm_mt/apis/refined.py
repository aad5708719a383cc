"""A transmitter that refines the latent of each picture with the tasks of its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import read_record, training_checkpoint, zoo_entry
from vcm_mt.device import pick_device
from vcm_mt.errors import ConfigError
from vcm_mt.models.refiner import Known, Refiner
from vcm_mt.models.tasks import named_tasks
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.training.config import at_level, load_config, one_rate, qualities

#: What a config's ``refiner`` may set.
_SETTINGS = {"rate", "decay", "objective", "rate_weight", "background", "score", "amp"}


def refining(
    config: Config | str | Path,
    path: str | Path,
    steps: int,
    amp: bool | str = False,
    known: Known | None = None,
    receivers: Sequence[str | Path] = (),
    device: str | torch.device | None = None,
) -> Transmitter:
    """Load a transmitter with the frozen tasks and the lambda of its training.

    Args:
        config: The config of its training, or that config's file; tasks and lambda are used, and
            ``refiner``, a dict of ``rate``, ``decay``, ``objective``, ``rate_weight``,
            ``background``, ``score`` or ``amp``, see :class:`vcm_mt.models.refiner.Refiner`.
        path: A checkpoint, or the folder of the training.
        steps: Refinement steps, see :class:`vcm_mt.models.refiner.Refiner`.
        amp: Precision of ``g_a``, see :func:`vcm_mt.models.precision.amp_dtype`.
        known: A cache shared by the qualities of one config, see
            :class:`vcm_mt.models.refiner.Refiner`.
        receivers: Files of receivers of stage 2. Each serves the tasks that it was trained for;
            the other tasks use the receivers of stage 1.
        device: See :func:`vcm_mt.device.pick_device`.

    Raises:
        ConfigError: If the checkpoint is not of such a training, ``refiner`` is wrong, a receiver
            belongs to another transmitter or to none of the tasks, or the device is not available.
    """
    place = pick_device(device)
    config = config if isinstance(config, Config) else load_config(config)
    checkpoint = training_checkpoint(Path(path))
    record = read_record(checkpoint)
    if config.get("model", {}).get("type") != "VCMSystem":
        raise ConfigError(
            f"{config.filename} is not a config of stage 1: give the one that trained {path}"
        )
    several = qualities(config) or config.model.get("gains")
    how = config.get("refiner", {})
    if several:
        quality = zoo_entry(path).quality or record["quality"]
        config = (at_level if record.get("gains") else one_rate)(config, quality)
    else:
        config = config.copy()
    config.model.codec = record["codec"]  # without the weights that training started from
    system = build_system(config, checkpoint, place)
    if "rate_target" in record:  # lambda was adapted during training
        system.lmbdas = [record["rate_target"]["lmbda"]]
    _use_receivers(system, [Path(file) for file in receivers], checkpoint, place)
    system.transmitter.amp = amp
    if unknown := sorted(set(how) - _SETTINGS):
        raise ConfigError(f"refiner in {config.filename} takes {sorted(_SETTINGS)}, not {unknown}")
    return Transmitter(system.transmitter, Refiner(system, steps, known=known, **how))


def _use_receivers(
    system: VCMSystem, files: Sequence[Path], checkpoint: Path, device: torch.device
) -> None:
    """Let each receiver serve the tasks that it was trained for."""
    tasks = dict(named_tasks(system.tasks))
    behind: dict[str, Path] = {}
    for file in files:
        is_lora = "base" in read_record(file)
        receiver = Receiver.load(file, base=checkpoint if is_lora else None, device=device)
        if receiver.record["transmitter"] != system.transmitter.fingerprint():
            raise ConfigError(f"{file} belongs to another transmitter than {checkpoint}")
        name = receiver.record["name"]
        served = [task for task in receiver.record.get("tasks", [name]) if task in tasks]
        if not served:
            raise ConfigError(
                f"{file} is a receiver for {name}, and latents are refined for {', '.join(tasks)}: "
                "leave it out, or give a config with such a task"
            )
        for task in served:
            if task in behind:
                raise ConfigError(f"{behind[task]} and {file} are both for {task}: give one")
            behind[task] = file
            tasks[task].receiver = name
        system.receivers[name] = receiver.synthesis
    for unused in set(system.receivers) - {task.receiver for task in tasks.values()}:
        del system.receivers[unused]
