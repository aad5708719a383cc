"""The machine's NVIDIA GPU, CUDA's compiler, and whether mmcv's ops can be compiled for them.

Standard library only, for tools/dev/bootstrap.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

CUDA = Path("/usr/local/cuda")  # where NVIDIA's installer puts it

# Two boxes that overlap and one apart. A build for another torch fails in the import already.
CHECK_OPS = """
import torch
from mmcv.ops import get_compiling_cuda_version, nms
if {cuda}:
    assert get_compiling_cuda_version() != "not available", "mmcv was built without CUDA"
torch.set_default_device({device!r})
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])
kept = nms(boxes, torch.tensor([.9, .8, .7]), iou_threshold=0.5)[1].tolist()
assert kept == [0, 2], f'nms kept {{kept}} instead of [0, 2]'
"""

#: Python runs this line when it starts in an environment for the CPU. A GPU that PyTorch saw there
#: would be used half-way, for mmcv's ops do not run on it.
HIDE_GPUS = 'import os; os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")\n'


class GPU(NamedTuple):
    """An NVIDIA GPU, or one that FORCE_CUDA asks to compile for, and CUDA's compiler.

    Attributes:
        capabilities: Compute capabilities to compile for, as ``8.0;9.0``.
        nvcc: The compiler's release, as ``12.8``; empty when none was found.
        here: Whether this machine has it; an image of a container is built where none is.
    """

    capabilities: str
    nvcc: str
    here: bool = True


def find_gpu() -> GPU | None:
    """The machine's NVIDIA GPU, whatever CUDA_VISIBLE_DEVICES says; ``None`` without one.

    Where there is none, FORCE_CUDA=1 asks for a build for those of TORCH_CUDA_ARCH_LIST.
    """
    told = said_by("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
    found = {one.strip() for one in told.splitlines() if re.fullmatch(r"\d+\.\d", one.strip())}
    if not found and os.environ.get("FORCE_CUDA") != "1":
        return None
    # CUDA's compiler is looked for where PyTorch's builds look for it.
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = Path(home, "bin", "nvcc") if home else shutil.which("nvcc") or CUDA / "bin" / "nvcc"
    release = re.search(r"release (\d+\.\d+)", said_by(str(nvcc), "--version"))
    capabilities = ";".join(sorted(found)) or os.environ.get("TORCH_CUDA_ARCH_LIST", "")
    return GPU(capabilities, release[1] if release else "", here=bool(found))


def said_by(*command: str | Path) -> str:
    """What a program prints; nothing when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError:
        return ""
    return "" if done.returncode else done.stdout


def reason_against(gpu: GPU, built: str) -> str:
    """Why mmcv's ops cannot be compiled for a GPU; empty when they can.

    Args:
        gpu: What was found.
        built: The release of CUDA that the installed PyTorch was built with; empty without one.
    """
    wanted = f"CUDA {built.split('.')[0]}'s compiler (nvcc)"
    if not built:
        return "PyTorch was built without CUDA, rm -r .venv and find an index with the other"
    if not gpu.nvcc:
        return f"no nvcc was found, install {wanted} or name its folder with CUDA_HOME"
    if gpu.nvcc.split(".")[0] != built.split(".")[0]:
        return f"nvcc is of CUDA {gpu.nvcc} and PyTorch of {built}, set CUDA_HOME to {wanted}"
    return ""


def ops_check(gpu: GPU | None) -> str:
    """Code that fails unless a compiled op gives the right answer where it will run."""
    return CHECK_OPS.format(device="cuda" if gpu and gpu.here else "cpu", cuda=bool(gpu))


def hide_gpus(venv: Path, hide: bool) -> None:
    """Let programs in the environment see no GPU, or see it again."""
    for folder in venv.glob("lib/python*/site-packages"):
        file = folder / "vcm_mt_cpu.pth"
        if hide:
            file.write_text(HIDE_GPUS)
        else:
            file.unlink(missing_ok=True)
