"""Train every network of the mini zoo anew and export it: hours on two cores, resumable.

python tools/make_zoo.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vcm_mt.datasets.mini import prepare

MSE_BASE = "configs/mini/mse_base.py"
MSE_CODEC = "configs/mini/mse_codec.py"

#: Name in the zoo, and the trainings behind it as arguments of tools/train.py; the last
#: one's work dir holds the weights.
NETWORKS = {
    "faster_rcnn": [["configs/mini/tasks/faster_rcnn.py"]],
    "mask_rcnn": [["configs/mini/tasks/mask_rcnn.py"]],
    "retinanet": [["configs/mini/tasks/retinanet.py"]],
} | {f"mse_{q}": [[MSE_BASE], [MSE_CODEC, "--quality", str(q)]] for q in (1, 2, 3, 4)}


def work_dir(arguments: list[str]) -> Path:
    """Where tools/train.py puts a training by default."""
    folder = Path("work_dirs", *Path(arguments[0]).with_suffix("").parts[1:])
    return folder / f"q{arguments[2]}" if len(arguments) > 1 else folder


def main() -> int:
    """Train what is not finished, export all."""
    prepare(Path("data/mini"))
    for name, trainings in NETWORKS.items():
        for arguments in trainings:
            command = [sys.executable, "tools/train.py", *arguments, "--resume"]
            print("==", " ".join(command[1:]), flush=True)
            if subprocess.run(command, check=False).returncode:
                return 1
        told = " && ".join(f"python tools/train.py {' '.join(a)}" for a in trainings)
        export = [sys.executable, "tools/export_zoo.py", str(work_dir(trainings[-1])), name]
        if subprocess.run([*export, "--command", told], check=False).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
