"""An autoregressive codec by wavefronts, place by place, and by CompressAI's code.

python tools/benchmarks/bench_context.py --repeats 3

Times the entropy coding of one latent of mbt2018 (N=M=192) both ways, without g_a and g_s, in
processor seconds of one thread. The weights are random, set so that latents and scales spread like
a trained codec's. The two orders of this project share their arithmetic, on integers in float64;
CompressAI's is float32, place by place.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from compressai.models.base import CompressionModel
from torch import Tensor, nn

from vcm_mt.apis.pictures import to_tensor
from vcm_mt.bitstream.context import entropy_model
from vcm_mt.cli.command import command
from vcm_mt.datasets.mini.photographs import photograph
from vcm_mt.models.codec import build_codec

SIZES = ((256, 256), (512, 640))
#: Spread of the latent's channels, in quantisation steps, from the quietest to the loudest.
SPREAD = (0.05, 6.0)
#: An encoder, and the decoder of what it gave.
Way = tuple[Callable[[Tensor], Any], Callable[[Any], Any]]


@command("start it again")
def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="turns of each comparison")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for height, width in SIZES:
        x = to_tensor(photograph(0, "train").resize((width, height)))
        times = timed(x, options.repeats)
        for step, what in enumerate(("encode", "decode")):
            seconds = {name: float(np.median(turns[:, step])) for name, turns in times.items()}
            ratios = (f"{name} {s:.2f} s (x {s / seconds['wavefronts']:.1f})"
                      for name, s in seconds.items())  # fmt: skip
            print(f"{height}x{width} {what}: {', '.join(ratios)}", flush=True)


@torch.no_grad()
def timed(x: Tensor, repeats: int) -> dict[str, Any]:
    """Seconds [repeats, 2] of encoding and of decoding, by each way's name."""
    codec = network(x)
    y = codec.g_a(x)
    codec.g_a = codec.g_s = nn.Identity()
    entropy = entropy_model(codec).eval()
    entropy.update_tables()
    z_shape = (y.shape[2] // 4, y.shape[3] // 4)
    own: Way = (entropy.compress, lambda strings: entropy.decompress(strings, z_shape))
    ways: dict[str, Way] = {
        "wavefronts": own,
        "place by place": (one_by_one(own[0]), one_by_one(own[1])),
        "CompressAI": (codec.compress, lambda sent: codec.decompress(sent["strings"], z_shape)),
    }
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, (encode, decode) in ways.items():
            moments = [time.process_time()]
            sent = encode(y)
            moments.append(time.process_time())
            decode(sent)
            moments.append(time.process_time())
            times[name].append(np.diff(moments).tolist())
    return {name: np.array(turns[1:]) for name, turns in times.items()}  # one to warm up


def one_by_one(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same in raster order, a step for every place."""

    def raster(height: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
        for place in range(height * width):
            yield torch.tensor([place // width]), torch.tensor([place % width])

    def call(given: Any) -> Any:
        with patch("vcm_mt.bitstream.context.wavefronts", raster):
            return function(given)

    return call


@torch.no_grad()
def network(x: Tensor) -> CompressionModel:
    """mbt2018; each channel of the latent of ``x`` has its spread, and the entropy model knows."""
    torch.manual_seed(0)
    codec = build_codec("JointAutoregressiveHierarchicalPriors", N=192, M=192).eval()
    std = codec.g_a(x).std(dim=(0, 2, 3)).clamp_min(1e-6)
    wanted = torch.tensor(np.geomspace(*SPREAD, len(std))).to(std)
    last, shown = codec.g_a[-1], codec.entropy_parameters[-1]
    last.weight.mul_((wanted / std)[:, None, None, None])
    last.bias.mul_(wanted / std)
    mean = codec.g_a(x).mean(dim=(0, 2, 3))
    shown.weight.mul_(0.01)
    shown.bias.copy_(torch.cat([wanted, mean]))
    return codec


if __name__ == "__main__":
    sys.exit(main())
