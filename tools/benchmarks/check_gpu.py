"""Run everything that needs a GPU, in at most 25 minutes; results go to docs/results/gpu.

python tools/benchmarks/check_gpu.py

The tests on the GPU; streams that a CPU codes and the GPU decodes, and the other way round; the
coder's and a training step's speed beside CompressAI and mmdet, with two hundred steps' losses; and
a step through the paper's X101 at COCO's size in both orders of memory. Each part runs in a process
of its own, within its own time; one that fails or takes longer does not keep the others away, and
all is told at the end. What a part prints is in work_dirs/gpu.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import psutil
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))
from bench_codec import ZOO, picture  # noqa: E402
from train_sides import Setting, batches, build  # noqa: E402

from vcm_mt.cli.command import command  # noqa: E402
from vcm_mt.errors import CommandError, ConfigError  # noqa: E402
from vcm_mt.files import write_atomically  # noqa: E402
from vcm_mt.models.codec import build_codec  # noqa: E402
from vcm_mt.models.tasks import fast_detector  # noqa: E402
from vcm_mt.models.transmitter import Transmitter  # noqa: E402
from vcm_mt.training.processes import peak_memory  # noqa: E402

OUT = Path("docs/results/gpu")
LOGS = Path("work_dirs/gpu")
BENCH = Path("work_dirs/bench")
#: Heights and widths of the pictures that are sent.
SIZES = ((1, 1), (65, 131), (83, 257), (512, 640))
CODECS: dict[str, dict[str, Any]] = {
    **{name: {"arch": "MeanScaleHyperprior", "N": 48, "M": 96, "checkpoint": f"zoo://{name}"}
       for name in ZOO},
    "with context": {"arch": "JointAutoregressiveHierarchicalPriors", "N": 48, "M": 96},
}  # fmt: skip
#: The paper's detector, random weights, on pictures of the size that COCO's are enlarged to.
X101 = Setting(
    {"arch": "mbt2018-mean", "quality": 1},
    {"detector": "mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py"},
    2,
    (800, 1333),
)
ORDERS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


class Part(NamedTuple):
    """One of the parts.

    Attributes:
        minutes: How long it may take.
        command: What runs it.
        results: Files that it writes elsewhere and that are kept.
    """

    minutes: float
    command: Sequence[str]
    results: Sequence[Path] = ()


def parts() -> dict[str, Part]:
    """All of them; 25 minutes together."""
    python, this = sys.executable, str(Path(__file__))
    codec = [BENCH / f"codec.{kind}" for kind in ("json", "md")]
    train = [BENCH / name for name in ("train.json", "train.md", "train_cuda.png")]
    step = ("--devices", "cuda", "--settings", "mini", "--rounds", "5", "--curve", "200")
    return {
        "tests": Part(10, (python, "-m", "pytest", "--device", "cuda")),
        "streams": Part(3, (python, this, "--part", "streams")),
        "bench-codec": Part(
            3,
            (python, "tools/benchmarks/bench_codec.py", "--devices", "cuda", "--repeats", "5"),
            codec,
        ),
        "bench-train": Part(5, (python, "tools/benchmarks/bench_train.py", *step), train),
        "x101": Part(4, (python, this, "--part", "x101")),
    }


class Outcome(NamedTuple):
    """The outcome of a part: ``why`` is empty if all went well."""

    seconds: float
    why: str


def run_part(name: str, part: Part, logs: Path) -> Outcome:
    """Run a part within its time, its output into a log, its last line onto the screen."""
    log, start, shown = logs / f"{name}.log", time.monotonic(), 0.0
    with log.open("wb") as file:
        process = subprocess.Popen(part.command, stdout=file, stderr=subprocess.STDOUT)
    try:
        while process.poll() is None and time.monotonic() - start < 60 * part.minutes:
            time.sleep(0.2)
            if time.monotonic() - shown > 15:
                shown = time.monotonic()
                print(f"    {shown - start:4.0f} s  {last_line(log)}", flush=True)
    finally:
        status = process.poll()
        if status is None:
            end(process.pid)
    seconds = time.monotonic() - start
    if status is None:
        return Outcome(seconds, f"took longer than its {part.minutes:g} minutes")
    return Outcome(seconds, f"status {status}: {last_line(log)}" if status else "")


def end(pid: int) -> None:
    """End a process and all that it started."""
    parent = psutil.Process(pid)
    family = [*parent.children(recursive=True), parent]
    for process in family:
        if process.is_running():
            process.kill()
    psutil.wait_procs(family)


def last_line(log: Path) -> str:
    """The last line of a program's output."""
    lines = log.read_text(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip()[:120] for line in reversed(lines) if line.strip()), "")


def run_all(todo: Mapping[str, Part], out: Path, logs: Path) -> dict[str, Outcome]:
    """Run the parts one after another, and write down their outcomes."""
    for folder in (out, logs):
        folder.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for number, (name, part) in enumerate(todo.items(), start=1):
        print(f"[{number}/{len(todo)} {name}] (at most {part.minutes:g} minutes)", flush=True)
        started = time.time()
        outcomes[name] = run_part(name, part, logs)
        for file in part.results:
            if file.is_file() and file.stat().st_mtime >= started:
                shutil.copy(file, out / file.name)
        print(f"    {outcomes[name].why or 'done'}", flush=True)
        write_atomically(out / "check.md", [table(outcomes).encode()])
    return outcomes


def table(outcomes: Mapping[str, Outcome]) -> str:
    """The outcomes as Markdown."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    lines = [f"{gpu}, PyTorch {torch.__version__}, {os.cpu_count()} cores.", ""]
    lines += ["| part | seconds | outcome |", "|---|---|---|"]
    lines += [f"| {n} | {o.seconds:.0f} | {o.why or 'passed'} |" for n, o in outcomes.items()]
    return "\n".join(lines) + "\n"


@torch.no_grad()
def streams(
    device: str,
    sizes: Sequence[tuple[int, int]] = SIZES,
    codecs: Mapping[str, Mapping[str, Any]] = CODECS,
) -> dict[str, Any]:
    """Code on a CPU and decode on a device, and the other way round.

    Returns:
        How many symbols were sent, and how many were decoded to others, by codec and precision.
    """
    found: dict[str, dict[str, int]] = {}
    for (name, codec), amp in tqdm(list(product(codecs.items(), ("fp32", "bf16"))), unit="codec"):
        ends = {place: transmitter(codec, amp, place) for place in ("cpu", device)}
        count = found[f"{name}, {amp}"] = {"symbols": 0, "different": 0}
        for (height, width), (source, target) in product(sizes, (("cpu", device), (device, "cpu"))):
            y = ends[source].analyse(picture(height, width).to(source))
            (data,) = ends[source].code(y, height, width)
            sent = ends[source].entropy.quantise(y).cpu()
            y_hat, _ = ends[target].decode(data)
            count["symbols"] += sent.numel()
            count["different"] += int((y_hat.cpu() != sent).sum())
    return found


def transmitter(codec: Mapping[str, Any], amp: str, device: str) -> Transmitter:
    """One end, with latents that are not all zeros."""
    torch.manual_seed(0)
    network = Transmitter(build_codec(**codec))
    if "checkpoint" not in codec:
        network.g_a[-1].weight.mul_(40)
    network.eval().update_tables()
    network.amp = amp
    return network.to(device)


def orders(device: str, setting: Setting = X101, steps: int = 5) -> dict[str, Any]:
    """Steps through a detector whose frozen parts lie in either order of memory, in turns.

    Returns:
        By order the median seconds of a step, and the peak memory in bytes of one alone.
    """
    data = batches(setting, 1)[0]
    found: dict[str, Any] = {}
    for name, order in ORDERS.items():
        side = ordered(setting, device, order)
        _start_counting(device)
        side.step(data)
        found[name] = {"peak_bytes": _peak(device)}
        del side
    sides = {name: ordered(setting, device, order) for name, order in ORDERS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in tqdm(range(steps + 1), unit="step"):
        for name, side in sides.items():
            _wait(device)
            start = time.perf_counter()
            side.step(data)
            _wait(device)
            if turn:  # the first chooses algorithms
                seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        found[name]["seconds"] = float(np.median(values))
    return found


def ordered(setting: Setting, device: str, order: torch.memory_format) -> Any:
    """This project's side of the benchmark, its frozen network built in that order of memory."""
    side = build(setting, "ours", device)
    with mock.patch.object(fast_detector, "_memory_order", lambda *_: order):
        side.step(batches(setting, 1)[0])
    return side


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _start_counting(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory()


def save(name: str, found: Mapping[str, Any], out: Path = OUT) -> None:
    """Write a part's figures down, and print them."""
    text = json.dumps(found, indent=1) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / f"{name}.json", [text.encode()])
    print(text)


def do_streams() -> None:
    """The part of the streams.

    Raises:
        CommandError: When a symbol was decoded to another.
    """
    found = streams("cuda")
    save("streams", found)
    if wrong := sum(count["different"] for count in found.values()):
        raise CommandError(f"{wrong} symbols were decoded to others, see streams.json")


def do_x101() -> None:
    """The part of the paper's detector."""
    save("x101", orders("cuda"))


RUN_HERE: dict[str, Callable[[], None]] = {"streams": do_streams, "x101": do_x101}


@command("start it again")
def main() -> int:
    """Run every part, or the one that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=parts(), help="these parts alone")
    parser.add_argument("--part", choices=RUN_HERE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise ConfigError(
            "PyTorch sees no GPU here: run this on a machine that has one (docs/setup.md)"
        )
    if options.part:
        RUN_HERE[options.part]()
        return 0
    subprocess.run([sys.executable, "tools/prepare_mini.py"], check=True)
    todo = {n: part for n, part in parts().items() if n in (options.only or parts())}
    outcomes = run_all(todo, OUT, LOGS)
    print("\n" + table(outcomes))
    return int(any(outcome.why for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
