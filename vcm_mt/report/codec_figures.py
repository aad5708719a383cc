"""Figures of one codec at one level: printed, and written to a JSON file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.sequences import KEY_INTERVAL
from vcm_mt.apis.system import build_system
from vcm_mt.curves.rp import finite
from vcm_mt.curves.table import number, rp_table_markdown
from vcm_mt.evaluation.experiment import Experiment, on_first, trained
from vcm_mt.evaluation.measure import measure, rp_point
from vcm_mt.files import write_atomically
from vcm_mt.training.config import at_level, check_inputs, qualities
from vcm_mt.training.levels import checkpoint_level


def system_figures(
    config: Config, checkpoint: Path, quality: int | None = None, out: Path | None = None
) -> None:
    """Measure the system that a config trains: real bytes, and its tasks' metrics.

    Args:
        config: Of stage 1, or of an uncoded or anchor system.
        checkpoint: Of its training.
        quality: The level; by default the checkpoint's, of a variable rate the middle one.
        out: JSON file to write.

    Raises:
        ConfigError: When the checkpoint does not have that level.
        DataError: When data or weights are missing.
    """
    quality = checkpoint_level(checkpoint, quality)
    several = qualities(config) or config.model.get("gains")
    config = at_level(config, quality) if several else config.copy()
    if config.model.type == "TemporalSystem":  # it knows its levels from stage 1
        config.model.quality = quality
    check_inputs(config, ["test"])
    system = build_system(config, checkpoint)
    result = measure(system, config, f"level {quality}")
    if get_rank() > 0:
        return
    record = {
        "point": rp_point(quality, result).to_dict(),
        "metrics": finite(result.metrics),
        "num_bytes": result.num_bytes,
        "num_pixels": result.num_pixels,
        "transmitter": system.transmitter.fingerprint(),
    }
    lines = [f"{name:24} {number(value, '.4f')}" for name, value in result.metrics.items()]
    _tell(lines, record, out)


def receiver_figures(
    config: Config,
    checkpoint: Path,
    files: Sequence[Path] = (),
    quality: int | None = None,
    tasks: Sequence[str] | None = None,
    transmitter: Transmitter | None = None,
    out: Path | None = None,
) -> None:
    """Measure every receiver of one bitstream: each picture is sent once, and all decode it.

    Videos are sent as sequences, predicted where the checkpoint has a temporal prior.

    Args:
        config: Whose tasks judge every receiver's pictures; of a ``TemporalSystem`` also the
            ``key_interval`` of sequences.
        checkpoint: Of stage 1.
        files: Of stage 2's receivers.
        quality: The level; by default the checkpoint's, of a variable rate the middle one.
        tasks: Which of the config's tasks judge; by default all.
        transmitter: The checkpoint's, where it refines what it sends.
        out: JSON file to write.

    Raises:
        ConfigError: When the level, a task or a receiver does not fit the checkpoint.
        DataError: When data or weights are missing.
    """
    check_inputs(config, ["test"])
    quality = checkpoint_level(checkpoint, quality)
    interval = config.model.get("key_interval", KEY_INTERVAL)
    with _shared_folder(out) as folder:
        experiment = Experiment(config, folder, tasks)
        of_videos = experiment.data.of_videos
        codecs = trained(checkpoint, files, transmitter, of_videos, interval)
        codec = next(codec for codec in codecs if len(codecs) == 1 or codec.quality == quality)
        points = experiment.points(codec)
    if get_rank() > 0:
        return
    judged = [f"{task}_{judge.main}" for task, judge in experiment.data.judges.items()]
    metrics = [*judged, "psnr", "ms_ssim"]
    pictures = points["shared"].pictures
    num_bytes = pictures.num_bytes.tolist() if pictures else []
    lines = [
        f"\n{sum(num_bytes)} bytes for {len(num_bytes)} {'videos' if of_videos else 'pictures'}, "
        "decoded by each:",
        rp_table_markdown({name: [point] for name, point in points.items()}, metrics),
    ]
    record = {"points": {name: point.to_dict() for name, point in points.items()}}
    _tell(lines, record | {"transmitter": codec.record["codec"]}, out)


@contextmanager
def _shared_folder(out: Path | None) -> Iterator[Path]:
    """A temporary folder that all processes see: of several, beside ``out``."""
    place = None if get_world_size() == 1 else (out or Path("x")).parent
    folder = on_first(lambda: Path(tempfile.mkdtemp(dir=place)))
    try:
        yield folder
        barrier()
    finally:
        if get_rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)


def _tell(lines: Iterable[str], record: dict[str, Any], out: Path | None) -> None:
    """Write the figures to the file, and print them even where that fails."""
    try:
        if out:
            write_atomically(out, [json.dumps(record).encode() + b"\n"])
    finally:
        for line in lines:
            print(line)
