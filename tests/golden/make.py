"""Makes the golden streams anew, after a wanted change of the format: python tests/golden/make.py.

A small codec of random weights, streams that it wrote, and digests of the latents that any decoder
must find in them. With `video` only the sequence of predicted pictures and its temporal prior.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from compressai.models import MeanScaleHyperprior
from skimage import data
from torch import nn

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.sequences import VideoDecoder, VideoEncoder
from vcm_mt.bitstream.container import unpack
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.bitstream.temporal import TemporalPrior
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter as Network
from vcm_mt.structures import Packet

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


def prior() -> TemporalPrior:
    """The temporal prior of the golden sequence."""
    own = TemporalPrior(12, 8)
    own.load_state_dict(torch.load(HERE / "prior.pth", weights_only=True))
    return own


def digest_of_latents(receiver: Receiver, packets: Iterable[Packet]) -> str:
    """SHA-256 of the y_hat of a video's pictures: float32, little endian."""
    decoder, digest = VideoDecoder(receiver), hashlib.sha256()
    for packet in packets:
        digest.update(decoder.latent(packet).cpu().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def main() -> None:
    """Write the checkpoint, the streams and the digests."""
    if sys.argv[1:] != ["video"]:
        write_pictures()
    write_video()


def write_video() -> None:
    """Write a sequence of predicted pictures: a view that moves, and a cut."""
    torch.manual_seed(12)
    own = TemporalPrior(12, 8)
    with torch.no_grad():
        for layer in (own.linear, own.body[-1]):
            layer.weight.add_(0.02 * torch.randn_like(layer.weight))
    own.update_tables()
    torch.save(own.state_dict(), HERE / "prior.pth")
    sender, receiver = (part.load(HERE / "codec.pth") for part in (Transmitter, Receiver))
    sender.network.temporal = receiver.prior = prior()
    encoder = VideoEncoder(sender, key_interval=40)
    places = [*range(50), *range(300, 310)]
    packets = [encoder.encode(data.astronaut()[at : at + 70, at : at + 90]) for at in places]
    with (HERE / "video.vcm").open("wb") as file:
        writer = SequenceWriter(file, fps=(30000, 1001))
        for packet in packets:
            writer.write(packet)
        writer.close()
    listing = json.loads((HERE / "golden.json").read_text())
    listing["video"] = digest_of_latents(receiver, packets)
    (HERE / "golden.json").write_text(json.dumps(listing, indent=1) + "\n")
    kinds = [packet.predicted for packet in packets]
    print("video", (HERE / "video.vcm").stat().st_size, "bytes, predicted", sum(kinds), "of 60")


def write_pictures() -> None:
    """Write the checkpoint, and the streams of single pictures."""
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
