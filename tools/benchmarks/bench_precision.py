"""Training step, encode and decode by --amp, in ratios to float32, on both kinds of processor.

python tools/benchmarks/bench_precision.py

Runs here as this machine is, and once more under ONEDNN_MAX_CPU_ISA=AVX2 and
ATEN_CPU_CAPABILITY=avx2, which make any x86 machine stand for one without bfloat16 instructions.
The step is that of configs/mini/demo.py's recipe through the embedded set's detector; the codec is
mbt2018-mean with N=128, M=192 at 512x640. All precisions take turns in one process; a ratio is
float32's time over the other's, the median over turns, with the smallest and largest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from vcm_mt.bitstream.container import unpack
from vcm_mt.cli.command import command
from vcm_mt.errors import CommandError
from vcm_mt.models.precision import amp_name, processor

if __package__:  # started as `python -m tools.bench_precision`
    sys.path.insert(0, str(Path(__file__).parent))
from bench_codec import ends, network, picture, seconds_of  # noqa: E402
from train_sides import SETTINGS, batches, build  # noqa: E402

OUT = Path("work_dirs/bench")
PRECISIONS = ("fp32", "bf16", "auto")
PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
SIZE = (512, 640)


def jobs() -> dict[str, dict[str, Callable[[], Any]]]:
    """What is timed, by its name and precision."""
    setting = SETTINGS["mini"]
    data = batches(setting, 1)[0]
    sides = {amp: build(setting, "ours", "cpu", amp) for amp in PRECISIONS}
    x = picture(*SIZE)
    theirs = network(x, pretrained=False)
    pairs = {amp: ends(theirs, amp, "cpu") for amp in PRECISIONS}
    coded = pairs["fp32"][0].encode(x)

    def decode(amp: str) -> Callable[[], Any]:
        transmitter, receiver = pairs[amp]
        return lambda: receiver(transmitter.decode_packets([unpack(data) for data in coded]))

    return {
        "training step": {amp: partial(side.step, data) for amp, side in sides.items()},
        "encode": {amp: partial(transmitter.encode, x) for amp, (transmitter, _) in pairs.items()},
        "decode": {amp: decode(amp) for amp in PRECISIONS},
    }


def measured(turns: int) -> dict[str, Any]:
    """Seconds by job and precision, on the processor as PyTorch is set to use it."""
    found: dict[str, Any] = {"processor": processor(), "auto": amp_name("auto", "cpu"), "jobs": {}}
    for what, ways in tqdm(jobs().items(), desc=found["processor"], unit="job"):
        times: dict[str, list[float]] = {amp: [] for amp in ways}
        for turn in range(turns + 1):
            for amp, run in ways.items():
                with torch.set_grad_enabled(what == "training step"):
                    taken = seconds_of(run, 1)
                times[amp] += [taken] if turn else []
        found["jobs"][what] = times
    return found


def under(limits: Mapping[str, str], turns: int) -> dict[str, Any]:
    """The same in a process of its own, under variables that limit its instructions.

    Raises:
        CommandError: When it fails; it has said why.
    """
    line = [sys.executable, __file__, "--here", "--turns", str(turns)]
    done = subprocess.run(line, env={**os.environ, **limits}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise CommandError(f"{' '.join(line)} failed, see above")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """The result as Markdown."""
    lines = ["| processor | what | float32 | bf16 | auto |", "|---|---|---|---|---|"]
    for run in runs:
        for what, times in run["jobs"].items():
            cells = [f"{1e3 * float(np.median(times['fp32'])):.0f} ms"]
            for amp in ("bf16", "auto"):
                ratios = np.array(times["fp32"]) / np.array(times[amp])
                named = f" ({run['auto']})" if amp == "auto" else ""
                cells.append(
                    f"{np.median(ratios):.2f}, {ratios.min():.2f} to {ratios.max():.2f}{named}"
                )
            lines.append(f"| {run['processor']} | {what} | {' | '.join(cells)} |")
    told = "float32 in milliseconds, the others as float32's time over theirs: above 1 is quicker."
    return "\n".join([*lines, "", told]) + "\n"


@command("start it again")
def main() -> int:
    """Measure both kinds and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="turns that count")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measured(options.turns)))
        return 0
    runs = [under({}, options.turns)]
    if runs[0]["auto"] == "bf16":  # else this machine is of the other kind already
        runs.append(under(PLAIN, options.turns))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "precision.json").write_text(json.dumps(runs, indent=1) + "\n")
    (OUT / "precision.md").write_text(table(runs))
    print(table(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
