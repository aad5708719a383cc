"""Makes the golden training log anew, after a wanted change of training.

    python -m tests.golden.train

The small codec of the golden streams goes on training through the zoo's RetinaNet on the plain
path: float32, one thread, CompressAI's own layers, the detector itself. The loss of RetinaNet has
no sampled boxes and no proposals: the last bit of a score cannot change a term by a jump. Nor can
the last bit of an overlap: boxes take the anchors above a threshold, not the best of equal ones.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from vcm_mt.datasets.mini import prepare
from vcm_mt.training.runner import build_runner

HERE = Path(__file__).parent
GOLDEN = HERE / "training.json"
#: Pictures of the embedded set that the run uses.
SIZES = {"train": 6, "val": 4}
STEPS = 24
#: The logged values.
NAMES = ("loss", "loss_rate", "bpp_train", "det/cls", "det/bbox", "aux")


def training_config(data: Path, work_dir: Path, steps: int) -> Config:
    """The paper's recipe for a small codec and a small detector, on crops of 128x128 pixels."""
    config = Config.fromfile("configs/mini/stage1_det_paper.py")
    config.train_dataloader.dataset.data_root = str(data)
    config.train_dataloader.batch_size = 2
    crop = {"type": "mmdet.RandomCrop", "crop_size": (128, 128), "allow_negative_crop": True}
    config.train_dataloader.dataset.pipeline.insert(-1, crop)
    config.load_from = str(HERE / "codec.pth")
    detector = Config.fromfile("configs/mini/tasks/retinanet.py").model
    detector.train_cfg.assigner.match_low_quality = False
    config.model = {
        "type": "VCMSystem",
        "codec": {"arch": "MeanScaleHyperprior", "N": 8, "M": 12, "fast": False},
        "tasks": {
            "det": {
                "type": "MMDetTask",
                "detector": detector,
                "checkpoint": "zoo://retinanet",
                "resize": {"scale": (128, 128), "keep_ratio": True},
            }
        },
        "lmbda": 0.5,
        "quantizer": "noise",
        "amp": "fp32",
    }
    for split in ("val", "test"):
        for part in ("dataloader", "evaluator", "cfg"):
            config[f"{split}_{part}"] = None
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": steps}
    config.param_scheduler = None
    config.work_dir = str(work_dir)
    return config


class _Log(Hook):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self.steps.append({name: float(outputs[name].detach()) for name in NAMES})


def training_log(config: Config) -> list[dict[str, float]]:
    """Train, on one thread; the values of each step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runner = build_runner(config)
        log = _Log()
        runner.register_hook(log)
        runner.train()
    finally:
        torch.set_num_threads(threads)
    return log.steps


def main() -> None:
    """Write the log."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder) / "mini", sizes=SIZES)
        config = training_config(Path(folder) / "mini", Path(folder) / "work", STEPS)
        steps = training_log(config)
    GOLDEN.write_text("[\n" + ",\n".join(map(json.dumps, steps)) + "\n]\n")
    print(f"loss {steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f} in {len(steps)} steps")


if __name__ == "__main__":
    main()
