r"""Evaluate a trained codec on real bytes: bpp, the frozen tasks' COCO mAP, PSNR, MS-SSIM.

python tools/test.py configs/mini/stage1_det.py work_dirs/mini/stage1_det/q1 --quality 1

With receivers of stage 2, each picture is sent once, every receiver decodes the same bytes, and
every task of the config looks at each one's picture:

python tools/test.py configs/mini/stage2_segm.py work_dirs/mini/stage1_det/q1 --receivers \
    work_dirs/mini/stage2_segm/q1/segm.safetensors work_dirs/mini/stage2_human/q1/human.safetensors

With --refine the transmitter takes seconds for every picture, see vcm_mt.models.refiner.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from vcm_mt.apis.config import at_level, check_inputs, load_config, qualities
from vcm_mt.apis.refined import refining
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import find_checkpoint, read_record
from vcm_mt.errors import ConfigError, VCMError, told
from vcm_mt.evaluation.experiment import Experiment, trained
from vcm_mt.evaluation.measure import measure, rp_point
from vcm_mt.evaluation.table import rp_table_markdown
from vcm_mt.files import write_atomically


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
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(config, Path(folder), options.tasks)
        points = experiment.points(sender)
    metrics = [*(f"{task}_mAP" for task in experiment.data.tasks), "psnr", "ms_ssim"]
    pictures = points["shared"].pictures
    num_bytes = pictures.num_bytes.tolist() if pictures else []
    print(f"\n{sum(num_bytes)} bytes for {len(num_bytes)} pictures, decoded by each:")
    print(rp_table_markdown({name: [point] for name, point in points.items()}, metrics))
    if options.out:
        record = {"points": {name: point.to_dict() for name, point in points.items()}}
        record["transmitter"] = sender.record["codec"]
        write_atomically(options.out, [json.dumps(record).encode() + b"\n"])


def main() -> int:
    """Encode, decode, run the tasks, report."""
    options = parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    try:
        config = load_config(options.config, options.cfg_options)
        checkpoint = options.checkpoint
        checkpoint = find_checkpoint(checkpoint) if checkpoint.is_dir() else checkpoint
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
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
    except VCMError as error:
        print(told(error), file=sys.stderr)
        return 1
    except OSError as error:  # the folder of --out cannot be made
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for name, value in result.metrics.items():
        print(f"{name:24} {value:.4f}")
    if options.out:
        record = {
            "point": rp_point(quality, result).to_dict(),
            "metrics": result.metrics,
            "num_bytes": result.num_bytes,
            "num_pixels": result.num_pixels,
            "transmitter": system.transmitter.fingerprint(),
        }
        write_atomically(options.out, [json.dumps(record).encode() + b"\n"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
