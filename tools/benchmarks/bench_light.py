"""LoRA receivers and latent adapters beside full receivers, on one stream: size, time, result.

python tools/benchmarks/bench_light.py work_dirs/bench_rp/stage1_det/q3

Each receiver is trained anew, alone on the machine; its time is that of the whole command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from vcm_mt.checkpoint import read_record, training_checkpoint
from vcm_mt.cli.command import command
from vcm_mt.errors import CommandError
from vcm_mt.evaluation.experiment import Experiment, trained
from vcm_mt.training.config import check_inputs, load_config

OUT = Path("work_dirs/bench")
CONFIG = "configs/mini/stage2_{}.py"
TASKS = ("segm", "human")


def train(
    checkpoint: Path, task: str, kind: Sequence[str], iterations: int, work_dir: Path
) -> float:
    """Train a receiver and return the seconds that it took.

    Raises:
        CommandError: When the training failed; it has said why.
    """
    command = [
        sys.executable, "tools/finetune_decoder.py", "--task", task, *kind,
        "--config", CONFIG.format(task), "--stage1", str(checkpoint), "--work-dir", str(work_dir),
        "--cfg-options", f"train_cfg.max_iters={iterations}",
        f"param_scheduler.1.T_max={iterations}", "train_cfg.val_begin=1000000000",
    ]  # fmt: skip
    start = time.monotonic()
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        raise CommandError(f"this failed, see above: {' '.join(command)}")
    return time.monotonic() - start


@command("the same command goes on")
def main() -> int:
    """Train the receivers, measure all of them on the same bytes, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage1", type=Path, help="one level of stage 1: folder or checkpoint")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=300)
    options = parser.parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    path = options.stage1
    checkpoint = training_checkpoint(path)
    config = load_config(CONFIG.format("segm"))
    check_inputs(config)
    quality, place = read_record(checkpoint)["quality"], OUT / "light"
    files, seconds = {}, {}
    kinds = {
        "": ["--adapter", "0"],
        "-light": ["--lora", str(options.rank)],
        "-deep": ["--adapter", str(options.depth)],
    }
    for task in TASKS:
        for ending, kind in kinds.items():
            name = task + ending
            seconds[name] = train(checkpoint, task, kind, options.iterations, place / name)
            files[name] = place / name / f"q{quality}" / f"{task}.safetensors"
            print(f"{name}: {files[name]}, {seconds[name]:.0f} s", flush=True)
    (codec,) = trained(checkpoint, list(files.values()))
    points = Experiment(config, place, ["det", "segm"]).points(codec)
    lines = [
        f"One stream of {points['shared'].bpp:.4f} bpp, {options.iterations} iterations a "
        f"receiver, light ones of rank {options.rank}, deep ones of {options.depth} blocks.\n",
        "| receiver | file | training | box mAP | mask mAP | PSNR |",
        "|---|---|---|---|---|---|",
    ]
    rows = []
    for name, point in points.items():
        own: dict[str, Any] = {"receiver": name, "bpp": point.bpp, **point.metrics}
        if name in files:
            own |= {"bytes": files[name].stat().st_size, "seconds": seconds[name]}
        file = f"{own['bytes'] / 1e6:.3f} MB" if "bytes" in own else ""
        training = f"{own['seconds']:.0f} s" if "seconds" in own else ""
        lines.append(
            f"| {name} | {file} | {training} | {own['det_mAP']:.1f} | {own['segm_mAP']:.1f} | "
            f"{own['psnr']:.1f} dB |"
        )
        rows.append(own)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "light.json").write_text(json.dumps(rows, indent=1) + "\n")
    (OUT / "light.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
