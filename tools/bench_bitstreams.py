"""Stage 2 from pictures and from bitstreams, side by side: steps per second, bytes on disk.

python tools/bench_bitstreams.py work_dirs/demo/stage1_det/q2
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.config import check_inputs, load_config
from vcm_mt.apis.finetune import for_tasks, use_bitstreams
from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.datasets.bitstreams import picture_paths, write_bitstreams
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.errors import VCMError, told
from vcm_mt.registry import MODELS

OUT = Path("work_dirs/bench")
#: Of the training set: enough for the time of a step, few enough to go through at once.
PICTURES = 32
ADAM = {"_delete_": True, "type": "Adam", "lr": 1e-4}


class Training:
    """One way of training, step by step.

    Args:
        config: Of a receiver's training, with its data.
    """

    def __init__(self, config: Config) -> None:
        self.scope = config.default_scope
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope(self.scope):
            self.system = MODELS.build(config.model).train()
            self.loader = Runner.build_dataloader(config.train_dataloader, seed=0)
        self.optimizers = CodecOptimWrapperConstructor(config.optim_wrapper)(self.system)
        self.batches = self._endless()

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def seconds(self, steps: int) -> float:
        """Time of some steps, data included."""
        start = time.perf_counter()
        with DefaultScope.overwrite_default_scope(self.scope):
            for _ in range(steps):
                self.system.train_step(next(self.batches), self.optimizers)
        return time.perf_counter() - start


#: Name, task, and what differs from configs/mini.
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "people, MSE, Adam": ("human", {"optim_wrapper.main.optimizer": ADAM}),
    "people, MSE": ("human", {}),
    "people, MSE and MS-SSIM": ("human", {"tasks.human.ms_ssim": 60.0}),
    "segmenter, without originals": ("segm", {"tasks.segm.feature_weight": 0.0}),
    "segmenter": ("segm", {}),
    "segmenter, Adam": ("segm", {"optim_wrapper.main.optimizer": ADAM}),
    "detector, Adam": ("det", {"optim_wrapper.main.optimizer": ADAM}),
}


def compare(name: str, checkpoint: Path, turns: int, steps: int) -> dict[str, Any]:
    """Steps per second of both ways in turns."""
    task, options = SETTINGS[name]
    config = for_tasks(load_config(f"configs/mini/stage2_{task}.py", options), [task])
    config.model.stage1 = str(checkpoint)
    config.train_dataloader.dataset.indices = PICTURES
    check_inputs(config)
    coded = copy.deepcopy(config)
    folder = OUT / "bitstreams"
    root, mirrored = use_bitstreams(coded, folder, checkpoint)
    pictures = picture_paths(coded)
    num_bytes = write_bitstreams(Transmitter.load(checkpoint), pictures, root, folder, mirrored)
    ways = Training(config), Training(coded)
    for way in ways:  # through the set once: from then on latents come from the loader's memory
        way.seconds(PICTURES // config.train_dataloader.batch_size + 1)
    times = [[way.seconds(steps) for way in ways] for _ in range(turns)]
    ratios = sorted(pictures_ / bits for pictures_, bits in times)
    return {
        "setting": name,
        "steps_per_second": [steps / statistics.median(t) for t in zip(*times, strict=True)],
        "ratio": statistics.median(ratios),
        "smallest": ratios[0],
        "largest": ratios[-1],
        "bytes_pictures": sum(path.stat().st_size for path in pictures),
        "bytes_bitstreams": num_bytes,
    }


def main() -> int:
    """Run all settings and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage1", type=Path, help="one level of stage 1: folder or checkpoint")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    try:
        path = options.stage1
        checkpoint = find_checkpoint(path) if path.is_dir() else path
        rows = [compare(one, checkpoint, options.turns, options.steps) for one in options.settings]
    except VCMError as error:
        print(told(error), file=sys.stderr)
        return 1
    lines = [
        "| receiver for | from pictures | from bitstreams | ratio | range |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        slow, fast = row["steps_per_second"]
        lines.append(
            f"| {row['setting']} | {slow:.2f} steps/s | "
            f"{fast:.2f} steps/s | {row['ratio']:.2f} | {row['smallest']:.2f} to "
            f"{row['largest']:.2f} |"
        )
    disk = rows[0]["bytes_pictures"] / rows[0]["bytes_bitstreams"]
    lines += ["", f"The bitstreams take 1/{disk:.0f} of the pictures' room on disk."]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "bitstreams.json").write_text(json.dumps(rows, indent=1) + "\n")
    (OUT / "bitstreams.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
