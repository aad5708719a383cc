"""Stage 2 from pictures and from bitstreams, side by side: steps per second, bytes on disk, result.

python tools/benchmarks/bench_bitstreams.py work_dirs/demo/stage1_det/q2
python tools/benchmarks/bench_bitstreams.py work_dirs/demo/stage1_det/q2 --seeds 0 1 2
python tools/benchmarks/bench_bitstreams.py --size 192 320      # of the paper's size, untrained
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.checkpoint import find_checkpoint, list_checkpoints, read_record, training_checkpoint
from vcm_mt.cli.command import command
from vcm_mt.datasets.bitstreams import picture_paths, write_bitstreams
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.evaluation.codecs import TrainedCodec
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.registry import MODELS
from vcm_mt.training.config import check_inputs, load_config
from vcm_mt.training.finetune import for_tasks, use_bitstreams
from vcm_mt.training.processes import keep_memory, run_commands

OUT = Path("work_dirs/bench")
#: Of the training set: enough for the time of a step, few enough to go through at once.
PICTURES = 32
#: In one pass over the weights, for both ways alike.
ADAM = {"_delete_": True, "type": "Adam", "lr": 1e-4, "fused": True}


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


def of_size(wide: int, latent: int) -> Path:
    """A checkpoint of a codec of this N and M after one step, for timing only."""
    place = OUT / f"size_{wide}_{latent}"
    command = [
        sys.executable, "tools/train.py", "configs/mini/stage1_det.py", "--quality", "3",
        "--work-dir", str(place), "--cfg-options", f"model.codec.N={wide}",
        f"model.codec.M={latent}", "levels.2.codec.checkpoint=None", "levels.2.after=None",
        "train_cfg.max_iters=1", "train_cfg.val_begin=2",
    ]  # fmt: skip
    run_commands({} if list_checkpoints(place / "q3") else {"codec": command}, 1, show="Iter(")
    return find_checkpoint(place / "q3")


def results(checkpoint: Path, seeds: list[int], iterations: int) -> dict[str, dict[str, float]]:
    """Mask mAP, in percent, of the segmenter's receivers by way and seed; the shared one's too."""
    path, place = "configs/mini/stage2_segm.py", OUT / "from_bitstreams"
    config = for_tasks(load_config(path), ["segm"])
    check_inputs(config)
    folder = OUT / "bitstreams"
    root, mirrored = use_bitstreams(config, folder, checkpoint)
    write_bitstreams(Transmitter.load(checkpoint), picture_paths(config), root, folder, mirrored)
    ways = {"pictures": [], "bitstreams": ["--from-bitstreams", str(folder)]}
    commands = {
        f"from {way}, seed {seed}": [
            sys.executable, "tools/finetune_decoder.py", "--task", "segm", "--config", path,
            "--stage1", str(checkpoint), "--work-dir", str(place / f"{way}_{seed}"), *options,
            "--cfg-options", f"randomness.seed={seed}", f"train_cfg.max_iters={iterations}",
            f"param_scheduler.1.T_max={iterations}", "train_cfg.val_begin=1000000000",
        ]
        for seed in seeds
        for way, options in ways.items()
    }  # fmt: skip
    run_commands(commands, min(2, os.cpu_count() or 1), show="Iter(")
    own = Path(f"q{read_record(checkpoint)['quality']}") / "segm.safetensors"
    receivers = {
        f"{way}, seed {seed}": Receiver.load(place / f"{way}_{seed}" / own)
        for seed in seeds
        for way in ways
    }
    receivers["shared"] = Receiver.load(checkpoint)
    codec = TrainedCodec(Transmitter.load(checkpoint), receivers)
    found = Experiment(load_config(path), place, ["segm"]).points(codec)
    scores = {name: point.metrics["segm_mAP"] for name, point in found.items()}
    return {
        "shared": {"all": scores["shared"]},
        **{way: {str(seed): scores[f"{way}, seed {seed}"] for seed in seeds} for way in ways},
    }


def speed_table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown lines."""
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
    return [*lines, "", f"The bitstreams take 1/{disk:.0f} of the pictures' room on disk."]


def result_table(found: dict[str, dict[str, float]], iterations: int) -> list[str]:
    """Markdown lines."""
    seeds = list(found["pictures"])
    lines = [
        "",
        f"Mask mAP of the segmenter's receiver after {iterations} iterations "
        f"(shared decoder {found['shared']['all']:.2f}):",
        "",
        f"| trained from | {' | '.join(f'seed {seed}' for seed in seeds)} | mean |",
        "|---" * (len(seeds) + 2) + "|",
    ]
    for way in ("pictures", "bitstreams"):
        scores = list(found[way].values())
        cells = [f"{score:.2f}" for score in (*scores, statistics.mean(scores))]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


@command("start it again")
def main() -> int:
    """Run all settings and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "stage1", type=Path, nargs="?", help="one level of stage 1: folder or checkpoint"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("N", "M"), help="a codec of this size instead"
    )
    parser.add_argument("--settings", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", help="train receivers both ways")
    parser.add_argument("--iterations", type=int, default=300, help="of those")
    options = parser.parse_args()
    if bool(options.stage1) == bool(options.size):
        parser.error("give a level of stage 1, or --size")
    if options.size and options.seeds:
        parser.error("--seeds wants a codec that is trained")
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    keep_memory()  # as tools/finetune_decoder.py does
    lines: list[str] = []
    found: dict[str, Any] = {}
    path = of_size(*options.size) if options.size else options.stage1
    checkpoint = training_checkpoint(path)
    if rows := [compare(s, checkpoint, options.turns, options.steps) for s in options.settings]:
        found["speed"] = rows
        lines += speed_table(rows)
    if options.seeds:
        found["results"] = results(checkpoint, options.seeds, options.iterations)
        lines += result_table(found["results"], options.iterations)
    OUT.mkdir(parents=True, exist_ok=True)
    name = "bitstreams" + "".join(f"_{one}" for one in options.size or ())
    (OUT / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / f"{name}.md").write_text("\n".join(lines).strip() + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
