"""A small codec with random weights, as a training writes it."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from compressai.models import MeanScaleHyperprior

from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter


def write_codec(path: Path, temporal: int, gains: Sequence[float] = ()) -> Path:
    """Write a checkpoint with one receiver, and a temporal prior of a width above 0."""
    torch.manual_seed(3)
    codec = MeanScaleHyperprior(16, 24)
    with torch.no_grad():
        codec.g_a[-1].weight.mul_(40)  # so that the latent is not all zeros
    network, synthesis = Transmitter(codec, 1, gains=gains, temporal=temporal), Receiver(codec.g_s)
    network.update_tables()
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
    record = {"codec": {"arch": "MeanScaleHyperprior", "N": 16, "M": 24}, "quality": 1}
    record |= {"temporal": temporal} if temporal else {}
    record |= {"gains": list(gains)} if gains else {}
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, path)
    return path
