"""Makes the golden streams anew, after a wanted change of the format: python tests/golden/make.py.

A small codec of random weights, streams that it wrote, and digests of the latents that any decoder
must find in them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from compressai.models import MeanScaleHyperprior
from skimage import data
from torch import nn

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.bitstream.container import unpack
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter as Network

HERE = Path(__file__).parent
SIZES = {"one": (1, 1), "odd": (130, 97), "wide": (3, 200)}


def network() -> tuple[Network, Synthesis]:
    """Random weights, but latents of some size and scales of all kinds."""
    torch.manual_seed(11)
    codec = MeanScaleHyperprior(8, 12)
    for module in codec.h_s.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=1.5 / module.weight[0].numel() ** 0.5)
            nn.init.normal_(module.bias, std=0.5)
    with torch.no_grad():
        for last in (codec.g_a[-1], codec.h_a[-1]):
            last.weight.mul_(20)
    transmitter = Network(codec, 3)
    transmitter.update_tables()
    return transmitter, Synthesis(codec.g_s)


def digest_of_latent(receiver: Receiver, stream: bytes) -> str:
    """SHA-256 of y_hat: float32, little endian."""
    y_hat = receiver.latents([unpack(stream)])
    return hashlib.sha256(y_hat.cpu().numpy().astype("<f4").tobytes()).hexdigest()


def main() -> None:
    """Write the checkpoint, the streams and the digests."""
    transmitter, synthesis = network()
    state = {f"transmitter.{k}": v for k, v in transmitter.state_dict().items()}
    state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
    record = {"codec": {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}, "quality": 3}
    path = HERE / "codec.pth"
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, path)
    sender, receiver = Transmitter.load(path), Receiver.load(path)
    listing = {"fingerprint": sender.fingerprint}
    for name, (height, width) in SIZES.items():
        stream = sender.encode(data.astronaut()[100 : 100 + height, 200 : 200 + width])
        (HERE / f"{name}.vcm").write_bytes(stream)
        listing[name] = digest_of_latent(receiver, stream)
        print(name, len(stream), "bytes")
    (HERE / "golden.json").write_text(json.dumps(listing, indent=1) + "\n")


if __name__ == "__main__":
    main()
