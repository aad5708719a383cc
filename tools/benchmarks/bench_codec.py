"""Our coder beside CompressAI's: the same weights, the same pictures, in one process, in turns.

python tools/benchmarks/bench_codec.py --repeats 7

Entropy coding alone, then a whole encoder and decoder, at 512x640, one picture and eight together,
and at 1080p, in float32 and with bfloat16 transforms, on the CPU and on a GPU where there is one.
A ratio is CompressAI's time over ours, the median over turns of both, with the smallest and
largest. Beside it what speed costs: the rate of integer entropy parameters, rate and PSNR of
bfloat16, both with the embedded zoo's codecs.
The network timed is mbt2018-mean with N=128, M=192 and random weights, set so that its latents and
scales spread like a trained codec's; --pretrained takes CompressAI's own.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compressai.models import MeanScaleHyperprior
from compressai.zoo import image_models
from float_parameters import FloatHyperprior
from torch import Tensor
from tqdm import tqdm

from vcm_mt.apis.pictures import to_tensor
from vcm_mt.bitstream import rans
from vcm_mt.bitstream.container import unpack
from vcm_mt.bitstream.symbols import tables_of
from vcm_mt.cli.command import command
from vcm_mt.datasets.mini.photographs import PHOTOGRAPHS, photograph
from vcm_mt.device import known_devices, pick_device
from vcm_mt.models.codec import build_codec
from vcm_mt.models.precision import multiplies_bfloat16, processor
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter, pad

OUT = Path("work_dirs/bench")
#: Height and width, and how many pictures are coded together.
SIZES = ((512, 640, 1), (512, 640, 8), (1080, 1920, 1))
ZOO = ("mse_1", "mse_2", "mse_3", "mse_4")
SHORTEST_TURN = 0.05
#: Spread of the latent's channels, in quantisation steps, from the quietest to the loudest.
SPREAD = (0.05, 6.0)


@command("start it again")
def main() -> int:
    """Run the comparison and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="turns of each comparison")
    parser.add_argument("--pretrained", action="store_true", help="CompressAI's own weights")
    parser.add_argument("--devices", nargs="+", default=known_devices(), help="default: all here")
    options = parser.parse_args()
    devices = [pick_device(name).type for name in options.devices]
    settings = [(d, size, amp) for d in devices for size in SIZES for amp in precisions(d)]
    result: dict[str, Any] = {"ratio": {}, "spread": {}, "seconds": {}}
    for device, size, amp in tqdm(settings, unit="setting"):
        together = f", {size[2]} together" if size[2] > 1 else ""
        name = f"{device}/{'bfloat16' if amp else 'float32'}/{size[0]}x{size[1]}{together}"
        for what, (theirs, ours) in timed(device, size, amp, options):
            ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
            result["ratio"].setdefault(what, {})[name] = float(np.median(ratios))
            result["spread"].setdefault(what, {})[name] = [min(ratios), max(ratios)]
            seconds = {"compressai": float(np.median(theirs)), "ours": float(np.median(ours))}
            result["seconds"].setdefault(what, {})[name] = seconds
    result |= costs()
    result["processors"] = [processor(device) for device in devices]
    result["torch"] = torch.__version__
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "codec.json").write_text(json.dumps(result, indent=1) + "\n")
    (OUT / "codec.md").write_text(table(result))
    print(table(result))
    return 0


def precisions(device: str) -> tuple[bool, ...]:
    """float32, and bfloat16 where it is native: bench_precision.py has the rest."""
    return (False, True) if multiplies_bfloat16(device) else (False,)


def timed(
    device: str, size: tuple[int, int, int], amp: bool, options: argparse.Namespace
) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    """What is compared, and the seconds of each turn of CompressAI and of this project."""
    height, width, together = size
    x = torch.cat([picture(height, width, n % len(PHOTOGRAPHS)) for n in range(together)])
    x = x.to(device)
    theirs = network(x, options.pretrained).to(device)
    transmitter, receiver = ends(theirs, amp, device)
    padded = pad(x, transmitter.entropy.divisor)
    with torch.no_grad():
        if not amp and together == 1:
            yield from entropy_coders(theirs, padded, options.repeats)
        sent = theirs.compress(padded)
        coded = transmitter.encode(x)

        def encode() -> list[bytes]:
            return transmitter.encode(x)

        def decode() -> Tensor:
            return receiver(transmitter.decode_packets([unpack(data) for data in coded]))

        strings, shape = sent["strings"], sent["shape"]
        yield (
            "encode",
            in_turns(lambda: theirs.compress(padded), encode, options.repeats),
        )
        yield "decode", in_turns(lambda: theirs.decompress(strings, shape), decode, options.repeats)


def entropy_coders(
    codec: MeanScaleHyperprior, x: Tensor, repeats: int
) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    """The coders of y alone, given latents, means and table indexes."""
    y = codec.g_a(x)
    z_hat, _ = codec.entropy_bottleneck(codec.h_a(y))
    scales, means = codec.h_s(z_hat).chunk(2, 1)
    model = codec.gaussian_conditional
    indexes = model.build_indexes(scales)
    tables = tables_of(model)

    def encode() -> bytes:
        symbols = (y - means).round_().flatten().to("cpu", torch.int32).numpy()
        return rans.encode(symbols, indexes.flatten().cpu().numpy(), tables)

    def decode() -> Tensor:
        symbols = rans.decode(data, indexes.flatten().cpu().numpy(), tables)
        return torch.from_numpy(symbols).to(y.device, torch.float32).view(y.shape) + means

    (data,) = model.compress(y, indexes, means)
    decoded = model.decompress([data], indexes, means=means)
    if encode() != data or not torch.equal(decode(), decoded):
        raise AssertionError("the two coders do not agree")
    yield "entropy_encode", in_turns(lambda: model.compress(y, indexes, means), encode, repeats)
    yield (
        "entropy_decode",
        in_turns(lambda: model.decompress([data], indexes, means=means), decode, repeats),
    )


def in_turns(
    theirs: Callable[[], Any], ours: Callable[[], Any], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of a call, first of one then of the other, after a turn that does not count.

    What is short is called several times a turn, for at least ``SHORTEST_TURN`` seconds.
    """
    times: tuple[list[float], list[float]] = ([], [])
    calls = [math.ceil(SHORTEST_TURN / seconds_of(function, 1)) for function in (theirs, ours)]
    for _ in range(repeats):
        for kept, function, number in zip(times, (theirs, ours), calls, strict=True):
            kept.append(seconds_of(function, number))
    return times


def seconds_of(function: Callable[[], Any], calls: int) -> float:
    """Seconds that a call takes, on average."""
    _wait()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    _wait()
    return (time.perf_counter() - start) / calls


def network(x: Tensor, pretrained: bool) -> MeanScaleHyperprior:
    """The codec to be timed, as CompressAI builds it."""
    torch.manual_seed(0)
    codec = image_models["mbt2018-mean"](quality=3, pretrained=pretrained).eval().to(x.device)
    if not pretrained:
        spread_out(codec, pad(x, codec.downsampling_factor))
    codec.update(force=True, update_quantiles=True)
    return codec


@torch.no_grad()
def spread_out(codec: MeanScaleHyperprior, x: Tensor) -> None:
    """Scale each channel of the latent to a fixed spread, which ``h_s`` then predicts."""
    y = codec.g_a(x)
    std = y.std(dim=(0, 2, 3)).clamp_min(1e-6)
    wanted = torch.tensor(np.geomspace(*SPREAD, len(std))).to(std)
    last, shown = codec.g_a[-1], codec.h_s[-1]
    last.weight.mul_((wanted / std)[:, None, None, None])
    last.bias.mul_(wanted / std)
    mean = codec.g_a(x).mean(dim=(0, 2, 3))
    shown.weight.mul_(0.01)
    shown.bias.copy_(torch.cat([wanted, mean]))


def ends(codec: MeanScaleHyperprior, amp: bool | str, device: str) -> tuple[Transmitter, Receiver]:
    """This project's transmitter and receiver with the same weights."""
    own = build_codec("mbt2018-mean", quality=3)
    own.load_state_dict(codec.state_dict())
    transmitter, receiver = Transmitter(own), Receiver(own.g_s)
    transmitter.update_tables()
    transmitter.amp = receiver.amp = amp
    for part in (transmitter, receiver):
        part.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return transmitter, receiver


@torch.no_grad()
def costs() -> dict[str, Any]:
    """Bytes and PSNR that the integer path and bfloat16 cost, over the zoo's codecs."""
    pictures = [picture(256, 320, number) for number in range(len(PHOTOGRAPHS))]
    found: dict[str, list[float]] = {"integer": [], "bfloat16": [], "psnr": []}
    for name in ZOO:
        codec = build_codec("MeanScaleHyperprior", N=48, M=96, checkpoint=f"zoo://{name}")
        transmitter, receiver = Transmitter(codec).eval(), Receiver(codec.g_s).eval()
        transmitter.update_tables()
        floats = FloatHyperprior.of(transmitter.entropy)
        y = [transmitter.analyse(x) for x in pictures]
        ours = sum(len(transmitter.entropy.compress(one)[0]) for one in y)
        theirs = sum(len(floats.compress(one)[0]) for one in y)
        found["integer"].append(100 * (ours / theirs - 1))
        exact = [receiver(transmitter.entropy(one).y_hat) for one in y]
        if not multiplies_bfloat16("cpu"):
            continue
        transmitter.amp = receiver.amp = "bf16"
        y = [transmitter.analyse(x) for x in pictures]
        found["bfloat16"].append(
            100 * (sum(len(transmitter.entropy.compress(one)[0]) for one in y) / ours - 1)
        )
        quick = [receiver(transmitter.entropy(one).y_hat) for one in y]
        found["psnr"].append(_psnr(exact, pictures) - _psnr(quick, pictures))
    means = {key: float(np.mean(values)) for key, values in found.items() if values}
    integer = {"rate_cost_percent": means["integer"], "each": found["integer"]}
    if "psnr" not in means:
        return {"integer_path": integer}
    half = {"rate_cost_percent": means["bfloat16"], "psnr_cost_db": means["psnr"]}
    return {"integer_path": integer, "bfloat16": half}


def picture(height: int, width: int, number: int = 0) -> Tensor:
    """A photograph, enlarged where it is smaller: float [1, 3, H, W]."""
    found = photograph(number, "val")
    scale = max(height / found.height, width / found.width, 1)
    found = found.resize((round(found.width * scale), round(found.height * scale)))
    return to_tensor(found)[..., :height, :width].contiguous()


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| what | setting | CompressAI | this project | ratio | smallest to largest |",
        "|---|---|---|---|---|---|",
    ]
    for what, settings in result["ratio"].items():
        for name, ratio in settings.items():
            seconds, spread = result["seconds"][what][name], result["spread"][what][name]
            lines.append(
                f"| {what.replace('_', ' ')} | {name} | {1e3 * seconds['compressai']:.1f} ms "
                f"| {1e3 * seconds['ours']:.1f} ms | {ratio:.2f} "
                f"| {spread[0]:.2f} to {spread[1]:.2f} |"
            )
    told = (
        f"Integer entropy parameters: {result['integer_path']['rate_cost_percent']:+.4f} % bytes."
    )
    if half := result.get("bfloat16"):
        told += (
            f" bfloat16: {half['rate_cost_percent']:+.3f} % bytes, {-half['psnr_cost_db']:+.3f} dB."
        )
    lines += ["", f"{told} {'; '.join(result['processors'])}."]
    return "\n".join(lines) + "\n"


def _psnr(decoded: list[Tensor], originals: list[Tensor]) -> float:
    values = []
    for x_hat, x in zip(decoded, originals, strict=True):
        error = x_hat[..., : x.shape[-2], : x.shape[-1]] - x
        values.append(float(-10 * error.square().mean().log10()))
    return float(np.mean(values))


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
