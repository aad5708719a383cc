"""Pictures of a few embedded figures as tasks take them."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from vcm_mt.training.config import load_config


def figures_config(folder: Path) -> Config:
    """configs/_base_/mini_figures.py on the figures in a folder."""
    config = load_config("configs/_base_/mini_figures.py")
    for split in ("train", "val"):
        config[f"{split}_dataloader"].dataset.data_root = f"{folder}/"
    return config


def batch_of(dataset: Any, *numbers: int) -> tuple[torch.Tensor, list[Any]]:
    """Pictures, RGB in [0, 1], and their data samples."""
    packed = [dataset[n] for n in numbers]
    x = torch.stack([one["inputs"][[2, 1, 0]].float() / 255 for one in packed])
    return x, [one["data_samples"] for one in packed]
