r"""Evaluate a trained codec on real bytes: bpp, the frozen tasks' COCO mAP, PSNR, MS-SSIM.

python tools/test.py configs/mini/stage1_det.py work_dirs/mini/stage1_det/q1 --quality 1

With receivers of stage 2, each picture is sent once, every receiver decodes the same bytes, and
every task of the config looks at each one's picture:

python tools/test.py configs/mini/stage2_segm.py work_dirs/mini/stage1_det/q1 --receivers \
    work_dirs/mini/stage2_segm/q1/segm.safetensors work_dirs/mini/stage2_human/q1/human.safetensors

With --refine the transmitter takes seconds for every picture, see vcm_mt.models.refiner. Several
processes share the pictures out, on one file system:

torchrun --nproc_per_node=2 tools/test.py CONFIG CHECKPOINT --launcher pytorch
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.logging import MMLogger

from vcm_mt.apis.refined import refining
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import read_record, training_checkpoint
from vcm_mt.cli.command import command
from vcm_mt.curves.rp import finite
from vcm_mt.curves.table import number, rp_table_markdown
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.experiment import Experiment, on_first, trained
from vcm_mt.evaluation.measure import measure, rp_point
from vcm_mt.files import check_output, write_atomically
from vcm_mt.training.config import at_level, check_inputs, load_config, qualities
from vcm_mt.training.run import join_processes


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", type=Path, help="file, or the work dir of one training")
    parser.add_argument(
        "--quality", type=int, help="level; default the checkpoint's, or a variable rate's middle"
    )
    parser.add_argument("--receivers", type=Path, nargs="+", help="files of stage 2's receivers")
    parser.add_argument("--tasks", nargs="+", help="which tasks judge receivers; default all")
    parser.add_argument("--refine", type=int, default=0, metavar="STEPS",
                        help="refine each picture's latent through the frozen tasks")  # fmt: skip
    parser.add_argument("--refine-config", help="of stage 1, whose tasks; default the config")
    parser.add_argument("--refine-receivers", action="store_true",
                        help="those tasks look through their own of --receivers")  # fmt: skip
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="settings to override, key=value"
    )
    options = parser.parse_args()
    if options.refine_receivers and not (options.refine and options.receivers):
        parser.error("--refine-receivers needs --refine and --receivers")
    return options


def level_of(checkpoint: Path, wanted: int | None) -> int:
    """The level to look at: a checkpoint's own, or one of several.

    Raises:
        ConfigError: When the checkpoint has no such level.
    """
    record = read_record(checkpoint)
    known = range(1, len(record["gains"]) + 1) if "gains" in record else [record["quality"]]
    if wanted is not None and wanted not in known:
        raise ConfigError(f"{checkpoint} has level {', '.join(map(str, known))}, not {wanted}")
    return known[len(known) // 2] if wanted is None else wanted


def compare(config: Config, checkpoint: Path, options: argparse.Namespace) -> None:
    """One table of all receivers on one stream."""
    transmitter = None
    if options.refine:
        through = options.receivers if options.refine_receivers else []
        transmitter = refining(
            options.refine_config or config, checkpoint, options.refine, receivers=through
        )
    senders = trained(checkpoint, options.receivers or [], transmitter)
    quality = level_of(checkpoint, options.quality)
    sender = next(sender for sender in senders if len(senders) == 1 or sender.quality == quality)
    with shared_folder(options) as folder:
        experiment = Experiment(config, folder, options.tasks)
        points = experiment.points(sender)
    if get_rank() > 0:
        return
    metrics = [*(f"{task}_mAP" for task in experiment.data.tasks), "psnr", "ms_ssim"]
    pictures = points["shared"].pictures
    num_bytes = pictures.num_bytes.tolist() if pictures else []
    lines = [
        f"\n{sum(num_bytes)} bytes for {len(num_bytes)} pictures, decoded by each:",
        rp_table_markdown({name: [point] for name, point in points.items()}, metrics),
    ]
    record = {"points": {name: point.to_dict() for name, point in points.items()}}
    record["transmitter"] = sender.record["codec"]
    report(lines, record, options.out)


@contextmanager
def shared_folder(options: argparse.Namespace) -> Iterator[Path]:
    """A folder for the time of a measurement, which all processes see; beside --out if several."""
    place = None if get_world_size() == 1 else (options.out or Path("x")).parent
    folder = on_first(lambda: Path(tempfile.mkdtemp(dir=place)))
    try:
        yield folder
        barrier()
    finally:
        if get_rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)


def report(lines: Iterable[str], record: dict[str, Any], out: Path | None) -> None:
    """Write the figures to the file, and print them even where that fails."""
    try:
        if out:
            write_atomically(out, [json.dumps(record).encode() + b"\n"])
    finally:
        for line in lines:
            print(line)


@command("start it again")
def main() -> int:
    """Encode, decode, run the tasks, report."""
    options = parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    join_processes(options.launcher)
    config = load_config(options.config, options.cfg_options)
    checkpoint = training_checkpoint(options.checkpoint)
    if options.out:
        check_output(options.out)
    if options.receivers or options.refine or config.model.type == "ReceiverSystem":
        check_inputs(config, ["test"])
        compare(config, checkpoint, options)
        return 0
    quality = level_of(checkpoint, options.quality)
    several = qualities(config) or config.model.get("gains")
    config = at_level(config, quality) if several else config
    check_inputs(config, ["test"])
    system = build_system(config, checkpoint)
    result = measure(system, config, f"level {quality}")
    if get_rank() == 0:
        record = {
            "point": rp_point(quality, result).to_dict(),
            "metrics": finite(result.metrics),
            "num_bytes": result.num_bytes,
            "num_pixels": result.num_pixels,
            "transmitter": system.transmitter.fingerprint(),
        }
        lines = [f"{name:24} {number(value, '.4f')}" for name, value in result.metrics.items()]
        report(lines, record, options.out)
    return 0
