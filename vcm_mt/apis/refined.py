"""A transmitter that refines each picture's latent through the tasks of its training."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.config import at_level, load_config, qualities
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import find_checkpoint, read_record
from vcm_mt.errors import ConfigError
from vcm_mt.models.refiner import Known, Refiner


def refining(
    config: Config | str | Path,
    path: str | Path,
    steps: int,
    amp: bool = False,
    known: Known | None = None,
) -> Transmitter:
    """Load a transmitter with the frozen tasks and the lambda that it was trained with.

    Args:
        config: Of its training, or that config's file; its tasks and levels are taken.
        path: Checkpoint of that training, or its folder.
        steps: Of a :class:`vcm_mt.models.refiner.Refiner`.
        amp: Run ``g_a`` in bfloat16.
        known: See there too: shared by the levels of one config.

    Raises:
        ConfigError: When the checkpoint is not of such a training.
    """
    config = config if isinstance(config, Config) else load_config(config)
    path = Path(path)
    checkpoint = find_checkpoint(path) if path.is_dir() else path
    record = read_record(checkpoint)
    if config.get("model", {}).get("type") != "VCMSystem":
        raise ConfigError(f"{config.filename} is no stage 1: name the config of {path}'s training")
    several = qualities(config) or config.model.get("gains")
    config = at_level(config, record["quality"]) if several else config.copy()
    config.model.codec = record["codec"]  # without the weights that training started from
    system = build_system(config, checkpoint)
    if "rate_target" in record:  # where lambda was steered to
        system.lmbdas = [record["rate_target"]["lmbda"]]
    system.transmitter.amp = amp
    return Transmitter(system.transmitter, Refiner(system, steps, known=known))
