"""A training step of this project beside the plain composition of CompressAI and mmdet.

python tools/benchmarks/bench_train.py

The plain composition is CompressAI's forward and mmdet's own loss, in float32 and contiguous, with
the same weights, pictures, noise and optimiser. All variants take a step in turns, forwards and
backwards through their list, in one process; a ratio is the median over the rounds, with the
smallest and largest. "Without" rows are ours with one switch off. Peak memory is that of two steps
in a process of its own, above what that process held before. The loss curves are both sides,
trained on the embedded set from the same start.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from tqdm import tqdm

from vcm_mt.cli.command import command
from vcm_mt.device import known_devices, pick_device
from vcm_mt.errors import ConfigError
from vcm_mt.models.precision import processor

if __package__:  # started as `python -m tools.bench_train`
    sys.path.insert(0, str(Path(__file__).parent))
from train_sides import SETTINGS, VARIANTS, batches, build  # noqa: E402

OUT = Path("work_dirs/bench")
#: Steps that a curve is smoothed over.
SMOOTH = 10
OF_DEVICE = {"cpu": ("mini", "r50"), "cuda": ("mini", "r50", "x101")}


def timed(name: str, variants: list[str], device: str, rounds: int) -> dict[str, Any]:
    """Seconds of a step of each variant, and the loss of its first.

    For that one, samplers take the first boxes of their lists: drawn ones would differ wherever a
    rounding error changes how many there are to draw from.
    """
    setting = SETTINGS[name]
    data = batches(setting, 1)[0]
    sides = {variant: build(setting, variant, device) for variant in variants}
    losses, seconds = {}, {variant: [] for variant in variants}  # type: ignore[var-annotated]
    for variant, side in sides.items():
        torch.manual_seed(1)
        with mock.patch.object(torch, "randperm", torch.arange):
            losses[variant] = side.step(data)
    for number in tqdm(range(rounds), desc=f"{device}, {name}", unit="round"):
        for variant in variants if number % 2 else variants[::-1]:
            torch.manual_seed(number)
            _wait()
            start = time.perf_counter()
            sides[variant].step(data)
            _wait()
            seconds[variant].append(time.perf_counter() - start)
    return {
        variant: {
            "images_per_second": setting.batch / float(np.median(seconds[variant])),
            "ratio": spread(
                [a / b for a, b in zip(seconds["plain"], seconds[variant], strict=True)]
            ),
            "loss": losses[variant],
            "loss_difference": losses[variant] / losses["plain"] - 1,
        }
        for variant in variants
    }


def spread(ratios: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": float(np.median(ratios)), "smallest": min(ratios), "largest": max(ratios)}


def peak_memory(name: str, variant: str, device: str) -> int:
    """Bytes that two steps take above what the process held; in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name, variant, device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def _measure_memory(name: str, variant: str, device: str) -> int:
    data = batches(SETTINGS[name], 1)[0]
    side = build(SETTINGS[name], variant, device)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        for _ in range(2):
            side.step(data)
        return torch.cuda.max_memory_allocated() - before
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    for _ in range(2):
        side.step(data)
    return _memory("VmHWM") - before


def _memory(name: str) -> int:
    """A line of Linux's account of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def curves(device: str, steps: int) -> dict[str, Any]:
    """Train both from the same start, and plot their losses together."""
    setting = SETTINGS["mini"]
    data = batches(setting, steps)
    found = {}
    for variant in ("plain", "ours"):
        side = build(setting, variant, device)
        losses = []
        for number, batch in enumerate(tqdm(data, desc=f"{device}, {variant}", unit="step")):
            torch.manual_seed(number)
            losses.append(side.step(batch))
        found[variant] = losses
    smooth = {k: np.convolve(v, np.ones(SMOOTH) / SMOOTH, "valid") for k, v in found.items()}
    from matplotlib.figure import Figure  # after vcm_mt, which sees to its backend

    figure = Figure(figsize=(7, 4))
    axes = figure.add_subplot()
    for variant, losses in found.items():
        (line,) = axes.plot(losses, alpha=0.3)
        axes.plot(range(SMOOTH - 1, steps), smooth[variant], color=line.get_color(), label=variant)
    axes.set(xlabel="step", ylabel="loss", title=f"{device}: both from the same start")
    axes.legend()
    figure.savefig(OUT / f"train_{device}.png", dpi=120, bbox_inches="tight")
    difference = np.abs(smooth["ours"] / smooth["plain"] - 1)
    return {"steps": steps, "largest_difference": float(difference.max()), "loss": found}


@command("start it again")
def main() -> int:
    """Run the comparison and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="steps of each variant")
    parser.add_argument("--curve", type=int, default=200, help="steps of the curves")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, help="default: by device")
    parser.add_argument("--devices", nargs="+", default=known_devices(), help="default: all here")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (minutes)")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(_measure_memory(*options.memory_of))
        return 0
    if sys.platform != "linux" and "cpu" in options.devices:
        raise ConfigError("a CPU's peak memory is read from Linux's /proc: run this there")
    print(table(run(options)))
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All settings on all devices."""
    OUT.mkdir(parents=True, exist_ok=True)
    variants = [v for v in VARIANTS if options.compile or v != "with torch.compile"]
    result: dict[str, Any] = {
        "ratio": {"images_per_second": {}, "peak_memory": {}},
        "settings": {},
        "curves": {},
        "processors": [processor(device) for device in options.devices],
        "torch": torch.__version__,
    }
    for device in [pick_device(name).type for name in options.devices]:
        for name in options.settings or OF_DEVICE[device]:
            place = f"{device}/{name}"
            rows = timed(name, variants, device, options.rounds)
            for variant in tqdm(variants, desc=f"{place}, memory", unit="variant"):
                rows[variant]["peak_memory"] = peak_memory(name, variant, device)
            plain, ours = rows["plain"], rows["ours"]
            result["ratio"]["images_per_second"][place] = ours["ratio"]["median"]
            result["ratio"]["peak_memory"][place] = plain["peak_memory"] / ours["peak_memory"]
            result["settings"][place] = rows
            _save(result)
        if options.curve >= SMOOTH:
            result["curves"][device] = curves(device, options.curve)
    _save(result)
    return result


def _save(result: dict[str, Any]) -> None:
    (OUT / "train.json").write_text(json.dumps(result, indent=1) + "\n")
    (OUT / "train.md").write_text(table(result))


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| setting | variant | images/s | ratio | smallest to largest | peak memory | of plain's "
        "| loss against plain's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for place, rows in result["settings"].items():
        for variant, row in rows.items():
            ratio = row["ratio"]
            lines.append(
                f"| {place} | {variant} | {row['images_per_second']:.2f} | {ratio['median']:.2f} "
                f"| {ratio['smallest']:.2f} to {ratio['largest']:.2f} "
                f"| {row['peak_memory'] / 2**20:.0f} MiB "
                f"| {100 * row['peak_memory'] / rows['plain']['peak_memory']:.0f} % "
                f"| {100 * row['loss_difference']:+.4f} % |"
            )
    lines.append("")
    for device, curve in result["curves"].items():
        lines.append(
            f"{device}: over {curve['steps']} steps from the same start the losses, as means of "
            f"{SMOOTH} steps, differ by {100 * curve['largest_difference']:.2f} % at most "
            f"(train_{device}.png)."
        )
    lines.append(f"{'; '.join(result['processors'])}, PyTorch {result['torch']}.")
    return "\n".join(lines) + "\n"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
