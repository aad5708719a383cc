"""What a photograph of 640x480 takes: bytes, and milliseconds of encoding and decoding.

python tools/benchmarks/bench_photo.py

A rate of the zoo's codec for photographs with its receiver for people, CompressAI with the same
weights, VVC, HEVC and JPEG at qualities to be named, on photographs that ship with scikit-image and
scikit-learn. Each figure is the median over turns in which all take part; a ratio
is to ours. VVC's and HEVC's times include the start of FFmpeg.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from bench_codec import picture, seconds_of
from compressai.models import MeanScaleHyperprior
from torch import Tensor
from tqdm import tqdm

from vcm_mt.anchors import make_sweep
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.packing import pack
from vcm_mt.cli.command import command
from vcm_mt.models.precision import processor
from vcm_mt.models.transmitter import pad
from vcm_mt.visualization import to_uint8

OUT = Path("work_dirs/bench")
HEIGHT, WIDTH = 480, 640
#: Which of the photographs: cat, coffee, motorcycle, a Chinese temple.
NUMBERS = (3, 4, 9, 12)


class Coder(NamedTuple):
    """A codec to be timed.

    Attributes:
        encode: A picture, float [1, 3, H, W], to what is sent.
        decode: And back.
        size: The bytes of what is sent.
    """

    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Any]
    size: Callable[[Any], int]


@command("start it again")
def main() -> int:
    """Time all codecs and write a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codec", default="zoo://photos_det", help="one of several rates")
    parser.add_argument("--quality", type=int, default=3, help="its rate")
    parser.add_argument("--receiver", default="human", help="one of its receivers")
    parser.add_argument("--anchors", nargs="+", default=["vvc@37", "hevc@37", "jpeg@20"])
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    coders = coders_of(options)
    pictures = [picture(HEIGHT, WIDTH, number) for number in NUMBERS]
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in coders}
    sizes: dict[str, list[int]] = {name: [] for name in coders}
    for turn in tqdm(range(options.repeats + 1), unit="turn"):
        for x in pictures:
            for name, coder in coders.items():
                sent = coder.encode(x)
                if not turn:  # does not count
                    sizes[name].append(coder.size(sent))
                    coder.decode(sent)
                    continue
                times[name][0].append(seconds_of(lambda: coder.encode(x), 1))  # noqa: B023
                times[name][1].append(seconds_of(lambda: coder.decode(sent), 1))  # noqa: B023
    result = {
        name: {
            "bytes": float(np.mean(sizes[name])),
            "encode": float(np.median(times[name][0])),
            "decode": float(np.median(times[name][1])),
        }
        for name in coders
    }
    OUT.mkdir(parents=True, exist_ok=True)
    where = processor("cpu")
    told = {"codecs": result, "processor": where, "threads": torch.get_num_threads()}
    (OUT / "photo.json").write_text(json.dumps(told, indent=1) + "\n")
    (OUT / "photo.md").write_text(table(result, where))
    print(table(result, where))
    return 0


def coders_of(options: argparse.Namespace) -> dict[str, Coder]:
    """All codecs by name, ours first."""
    one_rate = OUT / "photo.safetensors"  # CompressAI's class has no gains
    pack(options.codec, one_rate, quality=options.quality)
    transmitter = Transmitter.load(one_rate)
    receiver = Receiver.load(one_rate, options.receiver)
    theirs = compressai_of(transmitter, receiver)

    def compress(x: Tensor) -> Any:
        return theirs.compress(pad(x, 64))

    def decompress(sent: Any) -> Any:
        return theirs.decompress(sent["strings"], sent["shape"])

    known = {
        "this project": Coder(lambda x: transmitter.encode(x[0]), receiver.decode, len),
        "CompressAI, same weights": Coder(
            compress, decompress, lambda sent: sum(len(one[0]) for one in sent["strings"])
        ),
    }
    for entry in options.anchors:
        _, anchor, qualities = make_sweep(entry)
        for quality in qualities:
            known[f"{anchor.record.name} {quality}"] = Coder(
                lambda x, a=anchor, q=quality: a.encode(to_uint8(x), q),  # type: ignore[misc]
                lambda sent, a=anchor: a.decode(sent, HEIGHT, WIDTH),  # type: ignore[misc]
                len,
            )
    return known


def compressai_of(transmitter: Transmitter, receiver: Receiver) -> MeanScaleHyperprior:
    """CompressAI's own codec with the weights of ours."""
    record = transmitter.network.g_a[-1].out_channels, transmitter.network.g_a[0].out_channels
    codec = MeanScaleHyperprior(record[1], record[0]).eval()
    codec.g_a.load_state_dict(transmitter.network.g_a.state_dict())
    codec.g_s.load_state_dict(receiver.synthesis.g_s.state_dict())
    entropy = transmitter.network.entropy
    state, own = codec.state_dict(), entropy.state_dict()
    codec.load_state_dict(state | {key: value for key, value in own.items() if key in state})
    codec.update(force=True)
    return codec


def table(result: dict[str, dict[str, float]], name: str) -> str:
    """The result as Markdown."""
    ours = result["this project"]
    lines = ["| codec | bytes | encode | decode | ratio to ours |", "|---|---|---|---|---|"]
    lines += [
        f"| {codec} | {one['bytes']:,.0f} | {1e3 * one['encode']:.0f} ms "
        f"| {1e3 * one['decode']:.0f} ms "
        f"| {one['encode'] / ours['encode']:.1f}, {one['decode'] / ours['decode']:.1f} |"
        for codec, one in result.items()
    ]
    return "\n".join([*lines, "", f"{name}."]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
