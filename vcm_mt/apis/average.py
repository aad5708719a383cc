"""One codec of several trainings of it: the mean of their weights."""

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
    """Write the mean of trainings that went on from one start, as a training's folder.

    Trainings of one start with other seeds end in different places of one valley, and the middle
    is lower than either (Wortsman et al. 2022, Model soups, arXiv:2203.05482). Entropy tables are
    built anew, so it is a transmitter of its own.

    Args:
        trainings: Their checkpoints or folders, at least two.
        folder: Where the checkpoint goes.

    Returns:
        The checkpoint.

    Raises:
        ConfigError: For a single one, for trainings of different codecs or levels, and for light
            receivers, whose mean is not their changes' mean.
    """
    if len(trainings) < 2:
        raise ConfigError("a mean is of two trainings or more")
    loaded = [load_training(path, device="cpu") for path in trainings]
    (network, receivers, record), *others = loaded
    parts = [nn.ModuleDict({"transmitter": network, "receivers": nn.ModuleDict(receivers)})]
    for path, (network_, receivers_, record_) in zip(trainings[1:], others, strict=True):
        keys = ("codec", "quality", "gains", "rank", "depth")
        different = [key for key in keys if record_.get(key) != record.get(key)]
        if different or set(receivers_) != set(receivers):
            raise ConfigError(f"{path} is no other training of what {trainings[0]} is")
        parts.append(
            nn.ModuleDict({"transmitter": network_, "receivers": nn.ModuleDict(receivers_)})
        )
    if record.get("rank"):
        raise ConfigError("light receivers have no mean: merge them first")
    with torch.no_grad():
        for own in zip(*(part.parameters() for part in parts), strict=True):
            own[0].copy_(torch.stack([one.double() for one in own]).mean(0))
    network.update_tables()
    told = {"record": json.dumps({**record, "mean_of": list(map(str, trainings))})}
    buffer = io.BytesIO()
    torch.save({"meta": told, "state_dict": parts[0].cpu().state_dict()}, buffer)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "iter_0.pth"
    write_atomically(checkpoint, [buffer.getvalue()])
    return checkpoint
