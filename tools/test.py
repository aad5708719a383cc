"""Evaluate a trained codec on real bytes: bpp, the frozen tasks' COCO mAP, PSNR.

python tools/test.py configs/mini/stage1_det.py work_dirs/mini/stage1_det/q1/last --quality 1
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import DictAction
from mmengine.logging import MMLogger

from vcm_mt.apis.config import at_level, check_inputs, load_config, qualities
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.errors import VCMError, told
from vcm_mt.evaluation.measure import measure, rp_point


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", type=Path, help="file, or the work dir of one training")
    parser.add_argument("--quality", type=int, help="level of the config; default its first")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="settings to override, key=value"
    )
    return parser.parse_args()


def main() -> int:
    """Encode, decode, run the tasks, report."""
    options = parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    try:
        config = load_config(options.config, options.cfg_options)
        quality = options.quality or (qualities(config) or [0])[0]
        config = at_level(config, quality) if quality else config
        check_inputs(config)
        checkpoint = options.checkpoint
        checkpoint = find_checkpoint(checkpoint) if checkpoint.is_dir() else checkpoint
        system = build_system(config, checkpoint)
        result = measure(system, config, f"level {quality}")
    except VCMError as error:
        print(told(error), file=sys.stderr)
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
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
