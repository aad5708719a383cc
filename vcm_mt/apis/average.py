"""Averaging of the weights of several trainings of one codec."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from vcm_mt.apis.codec import load_training
from vcm_mt.errors import ConfigError
from vcm_mt.files import write_atomically


def average(trainings: Sequence[Path], folder: Path) -> Path:
    """Average the weights of trainings that started from the same weights.

    Such trainings with different seeds end in one basin of the loss, and their average has a lower
    loss than each of them (Wortsman et al. 2022, Model soups, arXiv:2203.05482). Entropy tables
    are rebuilt, so that the result is a new transmitter.

    Args:
        trainings: Checkpoints or folders of trainings, two or more.
        folder: Folder of the new checkpoint.

    Returns:
        The path of the checkpoint.

    Raises:
        ConfigError: If there are fewer than two trainings, their codecs or qualities differ, or
            they have LoRA receivers, whose updates cannot be averaged factor by factor.
    """
    if len(trainings) < 2:
        raise ConfigError("give two trainings or more to average")
    loaded = [load_training(path, device="cpu") for path in trainings]
    (network, receivers, record), *others = loaded
    parts = [nn.ModuleDict({"transmitter": network, "receivers": nn.ModuleDict(receivers)})]
    for path, (network_, receivers_, record_) in zip(trainings[1:], others, strict=True):
        keys = ("codec", "quality", "gains", "rank", "depth")
        different = [key for key in keys if record_.get(key) != record.get(key)]
        if different or set(receivers_) != set(receivers):
            raise ConfigError(
                f"{path} and {trainings[0]} cannot be averaged: they differ in "
                f"{', '.join(different) or 'their receivers'}"
            )
        parts.append(
            nn.ModuleDict({"transmitter": network_, "receivers": nn.ModuleDict(receivers_)})
        )
    if record.get("rank"):
        raise ConfigError("LoRA receivers cannot be averaged: merge them first (vcm-mt export)")
    with torch.no_grad():
        for own in zip(*(part.parameters() for part in parts), strict=True):
            own[0].copy_(torch.stack([one.double() for one in own]).mean(0))
    network.update_tables()
    meta = {"record": json.dumps({**record, "mean_of": list(map(str, trainings))})}
    buffer = io.BytesIO()
    torch.save({"meta": meta, "state_dict": parts[0].cpu().state_dict()}, buffer)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "iter_0.pth"
    write_atomically(checkpoint, [buffer.getvalue()])
    return checkpoint
