"""Kill a training repeatedly, resume it each time, and compare with an undisturbed one.

python tools/benchmarks/kill_test.py --kills 30

Every second kill (SIGKILL) waits for a checkpoint's write, which is made slow here, and hits it;
the others come at any moment of the process's life, up to its third checkpoint. After each one
every checkpoint must load, and the newest be no older than before. In the end all weights and the
optimisers' state must equal, bit for bit, those of the training that was left alone.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.fileio import register_backend

from vcm_mt.checkpoint import find_checkpoint, list_checkpoints
from vcm_mt.cli.command import command
from vcm_mt.datasets.mini import prepare
from vcm_mt.engine.checkpoints import AtomicBackend
from vcm_mt.errors import TrainingError
from vcm_mt.files import PARTIAL, write_atomically

ROOT = Path(__file__).resolve().parent.parent.parent
_PIECES, _PAUSE = 20, 0.02  # of a slow write; seconds
_STEPS = 3  # that a process gets done at most
_LIFE = 25.0  # seconds that a process lives at most, some ten of them for its imports
_CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=["kill_test"])
levels = [dict(lmbda=0.1)]
model = dict(codec=dict(N=8, M=12), tasks=dict(det=dict(checkpoint=None)))
train_dataloader = dict(batch_size=1, dataset=dict(data_root={data!r}))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
train_cfg = dict(max_iters={steps}, val_interval={steps} + 1)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2, backend_args=dict(backend="slow_disk")),
    logger=dict(interval=1),
)
"""


@register_backend("slow_disk")
class SlowDisk(AtomicBackend):
    """Writes checkpoints slowly, so that kills hit one while it is being written."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write the file in pieces."""

        def pieces() -> Iterator[bytes]:
            size = len(obj) // _PIECES + 1
            for start in range(0, len(obj), size):
                time.sleep(_PAUSE)
                yield obj[start : start + size]

        write_atomically(Path(filepath), pieces(), durable=True)


class Kill(NamedTuple):
    """What a kill interrupted, and the files that it left."""

    in_write: bool
    iteration: int


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, help="of the training; default four per kill")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work-dir", type=Path, help="where all goes; default a temporary folder")
    return parser.parse_args()


def start(config: Path, work_dir: Path) -> subprocess.Popen[bytes]:
    """A training in a process of its own, its output in ``log.txt``."""
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "tools/train.py", str(config), "--work-dir", str(work_dir)]
    # With more threads, sums may come in another order: that is another training.
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}  # for custom_imports
    with (work_dir / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*command, "--resume"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )


def finish(config: Path, work_dir: Path) -> None:
    """Train to the end.

    Raises:
        TrainingError: When it fails.
    """
    if start(config, work_dir).wait():
        raise TrainingError((work_dir / "log.txt").read_text()[-3000:])


def kill(config: Path, work_dir: Path, moments: random.Random, in_write: bool, life: float) -> Kill:
    """Start a training, kill it, and check the files that it left.

    Args:
        config: Of the training.
        work_dir: Its folder.
        moments: Draws when.
        in_write: Wait for a checkpoint's write; else any moment in ``life`` seconds.
        life: How long a process lives at most.

    Raises:
        ConfigError: When there are checkpoints but none is whole.
        TrainingError: When it ended by itself.
    """
    folder = work_dir / "q1"
    begun, first = time.time(), newest(folder)
    process = start(config, work_dir)
    until = begun + moments.uniform(0, life)
    writes = moments.randint(1, 2) if in_write else 0  # which one is hit
    while writes or (not in_write and time.time() < until and newest(folder) < first + _STEPS):
        if process.poll() is not None:
            raise TrainingError((work_dir / "log.txt").read_text()[-3000:])
        if writes and is_written(folder, begun):
            writes -= 1
            time.sleep(_PIECES * _PAUSE * (1.1 if writes else moments.random()))
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return Kill(is_written(folder, begun), iteration(folder))


def newest(folder: Path) -> int:
    """The highest iteration that a checkpoint is named after; 0 without one."""
    return max((int(path.stem.removeprefix("iter_")) for path in folder.glob("*.pth")), default=0)


def is_written(folder: Path, since: float) -> bool:
    """Whether a checkpoint is half written; what earlier kills left does not count."""
    for path in folder.glob(f"iter_*{PARTIAL}"):
        with suppress(FileNotFoundError):  # it was just finished
            if path.stat().st_mtime > since:
                return True
    return False


def iteration(folder: Path) -> int:
    """Of the newest checkpoint, 0 without one; fails where any cannot be loaded."""
    for path in list_checkpoints(folder):
        torch.load(path, weights_only=True)
    return int(load(folder)["meta"]["iter"]) if list_checkpoints(folder) else 0


def load(folder: Path) -> dict[str, Any]:
    """The newest checkpoint's content."""
    found: dict[str, Any] = torch.load(find_checkpoint(folder), weights_only=True)
    return found


def differences(one: Any, other: Any, name: str = "") -> Iterator[str]:
    """Names of what differs, in a tree of dictionaries, lists and tensors."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, (list, tuple)) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{name}.{number}")
    elif isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield name
    elif one != other:
        yield name


def kill_and_compare(options: argparse.Namespace, folder: Path) -> None:
    """Run the whole test.

    Raises:
        VCMError: When a checkpoint was lost, or the two trainings differ.
    """
    data, config = folder / "mini", folder / "killed.py"
    prepare(data, sizes={"train": 6, "val": 2})
    base = str(ROOT / "configs/mini/stage1_det.py")
    steps = options.steps or 4 * options.kills
    config.write_text(_CONFIG.format(base=base, data=str(data), steps=steps))
    begun = time.monotonic()
    finish(config, folder / "alone")
    life = time.monotonic() - begun
    print(f"left alone: {steps} steps in {life:.0f} s", flush=True)
    moments = random.Random(options.seed)
    newest = hits = 0
    for number in range(1, options.kills + 1):
        found = kill(config, folder / "killed", moments, number % 2 == 0, min(life, _LIFE))
        if found.iteration < newest:
            raise TrainingError(f"kill {number} lost a checkpoint: {found.iteration} < {newest}")
        newest, hits = found.iteration, hits + found.in_write
        where = "in a write" if found.in_write else "between writes"
        left = f"the checkpoint of iteration {newest} is whole" if newest else "no checkpoint yet"
        print(f"kill {number}, {where}: {left}", flush=True)
    finish(config, folder / "killed")
    alone, killed = (load(folder / name / "q1") for name in ("alone", "killed"))
    parts = ("state_dict", "optimizer", "param_schedulers")
    if unequal := [name for p in parts for name in differences(alone[p], killed[p], p)]:
        raise TrainingError(f"{len(unequal)} values differ: {', '.join(unequal[:5])}")
    print(
        f"{options.kills} kills, {hits} of them in a checkpoint's write: 0 lost checkpoints; "
        f"weights and optimisers after {steps} steps equal those of the one left alone"
    )


@command("start it again")
def main() -> int:
    """Run the test in a folder that stays, or in one that does not."""
    options = parse_args()
    if options.work_dir:
        options.work_dir.mkdir(parents=True, exist_ok=True)
        kill_and_compare(options, options.work_dir.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            kill_and_compare(options, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
