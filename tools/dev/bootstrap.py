"""Make the project's own environment in .venv: safe to interrupt, quick when nothing is to do.

Standard library only, for it runs before anything is installed. Order matters: mmcv has no wheel
for a current torch, so it is compiled against the torch that is already there, and its compiled
part is checked by calling it.

    python3 tools/dev/bootstrap.py                # or any make target that needs the environment
    python3 tools/dev/bootstrap.py --torch cpu    # PyTorch's build without CUDA's libraries

On a machine with an NVIDIA GPU and CUDA's compiler, mmcv's ops are compiled for both; else the
environment is for the CPU and hides GPUs from what runs in it. See docs/setup.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ready"
LOG = VENV / "bootstrap.log"
CONSTRAINTS = ROOT / "constraints.txt"
#: Where NVIDIA's installer puts CUDA.
CUDA = Path("/usr/local/cuda")
#: Says, once it was asked for, that PyTorch's build for the CPU is wanted.
CPU_TORCH = VENV / "torch_cpu"

SUPPORTED = ((3, 11), (3, 12), (3, 10))  # the one that the tests ran on first
GIB_PER_COMPILER = {False: 2, True: 4}  # with nvcc it is the larger
MMCV = ("--verbose", "--no-deps", "--no-build-isolation", "onedl-mmcv")

# Two boxes that overlap and one apart. A build for another torch fails in the import already.
CHECK_OPS = """
import torch
from mmcv.ops import nms
torch.set_default_device({device!r})
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])
kept = nms(boxes, torch.tensor([.9, .8, .7]), iou_threshold=0.5)[1].tolist()
assert kept == [0, 2], f'nms kept {{kept}} instead of [0, 2]'
"""

COMPILED_FOR_CUDA = """
from mmcv.ops import get_compiling_cuda_version
assert get_compiling_cuda_version() != "not available", "mmcv was built without CUDA"
"""

#: Python runs this line when it starts in an environment for the CPU. A GPU that PyTorch saw there
#: would be used half-way, for mmcv's ops do not run on it.
HIDE_GPUS = 'import os; os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")\n'


class SetupError(Exception):
    """Set-up can't go on; the message says what to do."""


class GPU(NamedTuple):
    """An NVIDIA GPU, and CUDA's compiler.

    Attributes:
        capabilities: Compute capabilities to compile for, as ``8.0;9.0``.
        nvcc: The compiler's release, as ``12.8``; empty when none was found.
        here: Whether this machine has it; an image of a container is built where none is.
    """

    capabilities: str
    nvcc: str
    here: bool = True


def main(arguments: list[str] | None = None) -> int:
    """Bring .venv to what constraints.txt and setup.cfg ask for; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the project's own environment in .venv.")
    parser.add_argument(
        "--torch",
        choices=("cpu",),
        help="take PyTorch's build without CUDA; remembered until .venv is removed",
    )
    parser.add_argument("--index", help="address of a package index that has that build too")
    options = parser.parse_args(arguments)
    cpu_torch = options.torch == "cpu" or CPU_TORCH.is_file()
    try:
        gpu = None if cpu_torch else find_gpu()
        if cpu_torch == CPU_TORCH.is_file() and is_ready(gpu):
            return 0
        use_supported_python()
        check_machine()
        install(gpu, cpu_torch, options.index)
    except SetupError as error:
        print(f"\nset-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def is_ready(gpu: GPU | None) -> bool:
    """Whether the last set-up ended well and nothing that decides it has changed since.

    An environment that was made for a GPU serves without one as well: a cluster's nodes share it.
    """
    if not (STAMP.is_file() and runs(VENV_PYTHON)):
        return False
    key, *known = STAMP.read_text().splitlines()
    if key != stamp_key():
        return False
    if gpu is None or repr(gpu) in known:
        return True
    if failure_of(ops_check(gpu)):
        return False
    write_stamp(gpu)  # another GPU, which this build serves too
    return True


def stamp_key() -> str:
    """Hash of all that decides what .venv holds; its place too, for no venv can be moved."""
    digest = hashlib.sha256(str(VENV).encode())
    for file in (CONSTRAINTS, ROOT / "setup.cfg", VENV / "pyvenv.cfg"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


# ---- the GPU -------------------------------------------------------------------------------------


def find_gpu() -> GPU | None:
    """The machine's NVIDIA GPU, whatever CUDA_VISIBLE_DEVICES says; ``None`` without one.

    Where there is none, FORCE_CUDA=1 asks for a build for those of TORCH_CUDA_ARCH_LIST.
    """
    told = said_by("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader") or ""
    found = {one.strip() for one in told.splitlines() if re.fullmatch(r"\d+\.\d", one.strip())}
    forced = os.environ.get("FORCE_CUDA") == "1"
    if not found and not forced:
        return None
    release = re.search(r"release (\d+\.\d+)", said_by(nvcc_path(), "--version") or "")
    capabilities = ";".join(sorted(found)) or os.environ.get("TORCH_CUDA_ARCH_LIST", "")
    return GPU(capabilities, release[1] if release else "", here=bool(found))


def nvcc_path() -> str:
    """CUDA's compiler, where PyTorch's builds look for it."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if home:
        return str(Path(home, "bin", "nvcc"))
    return shutil.which("nvcc") or str(CUDA / "bin" / "nvcc")


def said_by(*command: str) -> str | None:
    """What a program prints; ``None`` when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError:
        return None
    return None if done.returncode else done.stdout


def usable(gpu: GPU | None) -> GPU | None:
    """The GPU if mmcv's ops can be compiled for it; says in one line why not."""
    if gpu is None:
        return None
    built = output_of("import torch; print(torch.version.cuda or '')")
    wanted = f"CUDA {built.split('.')[0]}'s compiler (nvcc)"
    reason = ""
    if not built:
        reason = "PyTorch was built without CUDA, rm -r .venv and find an index with the other"
    elif not gpu.nvcc:
        reason = f"no nvcc was found, install {wanted} or name its folder with CUDA_HOME"
    elif gpu.nvcc.split(".")[0] != built.split(".")[0]:
        reason = f"nvcc is of CUDA {gpu.nvcc} and PyTorch of {built}, set CUDA_HOME to {wanted}"
    if reason:
        print(
            f"    GPU ({gpu.capabilities}) is left alone and this environment is for the CPU: "
            f"{reason}; then make setup",
            flush=True,
        )
        return None
    return gpu


def hide_gpus(hide: bool) -> None:
    """Let programs in .venv see no GPU, or see it again."""
    for folder in VENV.glob("lib/python*/site-packages"):
        file = folder / "vcm_mt_cpu.pth"
        if hide:
            file.write_text(HIDE_GPUS)
        else:
            file.unlink(missing_ok=True)


# ---- before anything is installed ----------------------------------------------------------------


def use_supported_python() -> None:
    """Start over under a supported Python when this one isn't; doesn't return then."""
    if sys.version_info[:2] in SUPPORTED:
        return
    mine = "{}.{}".format(*sys.version_info)
    for name in map("python{0[0]}.{0[1]}".format, SUPPORTED):
        if runs(name):
            print(f"Python {mine} is not supported, going on with {name}", flush=True)
            os.execvp(name, [name, *sys.argv])
    raise SetupError(
        f"Python 3.10, 3.11 or 3.12 is needed; this is {mine} and no other was found. "
        "Install one, or name it: make setup PYTHON=/path/to/python3.11"
    )


def runs(python: str | Path) -> bool:
    """Whether the interpreter starts: a version manager's launcher may exist and still not."""
    return (
        bool(shutil.which(python))
        and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
    )


def check_machine() -> None:
    """Say now what would otherwise surface minutes later.

    Raises:
        SetupError: on Windows; or the C++ compiler, Python's headers or its venv module is missing.
    """
    if sys.platform == "win32":
        raise SetupError(
            "make setup is for Linux and macOS: on Windows use WSL, or pip as README has it"
        )
    compiler = os.environ.get("CXX", "c++").split()[0]
    if not shutil.which(compiler):
        raise SetupError(
            f"no C++ compiler ({compiler}) was found. On Debian or Ubuntu: sudo apt install g++"
        )
    package = "python{}.{}".format(*sys.version_info)
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise SetupError(
            f"Python.h is missing. On Debian or Ubuntu: sudo apt install {package}-dev"
        )
    if not importlib.util.find_spec("ensurepip"):
        raise SetupError(
            f"this Python can't make a venv. On Debian or Ubuntu: sudo apt install {package}-venv"
        )


# ---- the steps -----------------------------------------------------------------------------------


def install(gpu: GPU | None, cpu_torch: bool, index: str | None) -> None:
    """Run every step; each finds by itself what an earlier, interrupted call has done."""
    size = "3 GB" if cpu_torch else "8 GB"
    print(f"Setting up {VENV}: about 15 minutes and {size}. Log: {LOG.name} in it", flush=True)
    with step("1/5 environment and build tools", "half a minute"):
        make_venv()
        pip_install("--upgrade", "pip", "setuptools", "packaging", "ninja")
    downloads = "1 minute, downloads 0.2 GB" if cpu_torch else "3 minutes, downloads 3 GB"
    with step("2/5 torch and torchvision", downloads):
        install_torch(cpu_torch, index)
        compiled_for = usable(gpu)
    what, usual = "this torch", "8 minutes on 2 cores, seconds if cached"
    if compiled_for:
        what, usual = f"{what} and GPU {compiled_for.capabilities}", "an hour on 2 cores"
    with step(f"3/5 mmcv, compiled for {what}", usual):
        pip_install(*MMCV, gpu=compiled_for)
    with step("4/5 the other packages and vcm_mt", "2 minutes"):
        pip_install("--editable", ".[onedl,dev]")
    with step("5/5 check of mmcv's compiled ops and of the versions", "half a minute"):
        hide_gpus(compiled_for is None)
        ensure_opencv()
        ensure_ops(compiled_for)
        ensure_import()
    write_stamp(gpu)
    print("Ready.", flush=True)


def write_stamp(gpu: GPU | None) -> None:
    """Note down what this environment is, and which GPUs it has been set up beside."""
    key, *known = STAMP.read_text().splitlines() if STAMP.is_file() else [""]
    seen = set(known) if key == stamp_key() else set()
    seen |= {repr(gpu)} if gpu else set()
    STAMP.write_text("\n".join([stamp_key(), *sorted(seen)]))


def install_torch(cpu: bool, index: str | None) -> None:
    """Install torch and torchvision, of the build that was asked for.

    Raises:
        SetupError: no index has the build for the CPU.
    """
    if not cpu:
        pip_install("torch", "torchvision")
        return
    pins = [f"{name}=={pin_of(name)}+cpu" for name in ("torch", "torchvision")]
    options = ["--extra-index-url", index] if index else []
    try:
        # Nothing is installed yet: what cannot be had is told within seconds.
        pip_install("--dry-run", "--no-deps", *options, *pins)
    except SetupError as error:
        raise SetupError(
            f"no package index that pip knows here has {' and '.join(pins)}: name one that has, "
            "make setup TORCH=cpu INDEX=ADDRESS, or leave TORCH=cpu out"
        ) from error
    pip_install(*options, *pins)
    CPU_TORCH.touch()


def pin_of(name: str) -> str:
    """The version that constraints.txt holds a package to."""
    found = re.search(rf"^{name}==([\w.]+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    assert found, f"constraints.txt has no {name}"
    return found[1]


@contextmanager
def step(what: str, usual: str) -> Iterator[None]:
    """Say what is being done, how long it usually takes and how long it took."""
    start = time.monotonic()
    print(f"[{what}] (about {usual})", flush=True)
    yield
    print(f"    done in {clock(time.monotonic() - start)}", flush=True)


def make_venv() -> None:
    """Make .venv, or keep the one that works; drop what an interrupted pip half installed.

    Raises:
        SetupError: Python can't make one.
    """
    if not (runs(VENV_PYTHON) and not failure_of("import pip")):
        make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        if subprocess.run(make).returncode:
            raise SetupError(f"{' '.join(make)} failed, see above")
    LOG.write_text("")
    # pip writes INSTALLER after a package's last file: a folder without it promises too much.
    for info in VENV.glob("lib/python*/site-packages/*.dist-info"):
        if not (info / "INSTALLER").is_file():
            shutil.rmtree(info)


def ensure_opencv() -> None:
    """Take OpenCV's build without windows where the ordinary one lacks the system's libGL."""
    if failure_of("import cv2"):
        pip_install("--force-reinstall", "--no-deps", "opencv-python-headless")


def ensure_ops(gpu: GPU | None) -> None:
    """Call a compiled op where it will run; build mmcv again, once, when that fails.

    pip caches the built wheel without regard to the torch, and the GPU, that it was built for.

    Raises:
        SetupError: the ops fail after a fresh build as well.
    """
    check = ops_check(gpu)
    device = "cuda" if gpu else "cpu"
    if not failure_of(check):
        return
    print(
        f"    mmcv's ops don't work on {device} (a build for another torch or device): compiling",
        flush=True,
    )
    pip_install("--force-reinstall", "--no-cache-dir", *MMCV, gpu=gpu)
    reason = failure_of(check)
    if reason:
        raise SetupError(
            f"mmcv's ops fail on {device} after a fresh build too:\n{reason}\n"
            f"The build's output: {LOG}"
        )


def ops_check(gpu: GPU | None) -> str:
    """Code that fails unless a compiled op gives the right answer where it will run."""
    check = CHECK_OPS.format(device="cuda" if gpu and gpu.here else "cpu")
    return check + COMPILED_FOR_CUDA if gpu else check


def ensure_import() -> None:
    """Import the package, and with it its version gate.

    Raises:
        SetupError: the gate refuses what is installed.
    """
    reason = failure_of("import vcm_mt, torchvision, compressai, mmdet")
    if reason:
        raise SetupError(f"{reason}\nIf this goes on: rm -r {VENV}, then the same command again")


# ---- processes and what is shown of them ---------------------------------------------------------


def pip_install(*arguments: str, gpu: GPU | None = None) -> None:
    """Call pip inside .venv, held to the pinned versions; what it compiles, for a GPU if given.

    Raises:
        SetupError: pip failed.
    """
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--constraint", str(CONSTRAINTS)]
    run([*pip, *arguments], environment(gpu))


def failure_of(code: str) -> str:
    """Run Python code inside .venv; return the end of its traceback, empty when it went well."""
    done = subprocess.run([VENV_PYTHON, "-c", code], capture_output=True, text=True, cwd=ROOT)
    end = "\n".join(done.stderr.strip().splitlines()[-8:])
    return (end or f"ended with status {done.returncode}") if done.returncode else ""


def output_of(code: str) -> str:
    """What Python code prints last inside .venv.

    Raises:
        SetupError: it failed.
    """
    done = subprocess.run([VENV_PYTHON, "-c", code], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SetupError(f"{code!r} failed in {VENV}:\n{done.stderr[-1000:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def environment(gpu: GPU | None = None) -> dict[str, str]:
    """What pip and mmcv's build read; a value that the user has set stays."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = GIB_PER_COMPILER[gpu is not None] << 30
    jobs = max(1, min(os.cpu_count() or 1, memory // needed))
    defaults = {
        "MMCV_WITH_OPS": "1",
        "CFLAGS": "-O2 -g0",
        "MAX_JOBS": str(jobs),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_PROGRESS_BAR": "off",
    }
    if gpu is None:
        # A visible GPU, or these, would make mmcv's build ask for CUDA's compiler.
        kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_CUDA", "MMCV_WITH_CUDA")}
        return {**defaults, **kept, "CUDA_VISIBLE_DEVICES": ""}
    # Later GPUs compile for themselves what is kept as PTX.
    defaults["FORCE_CUDA"] = "1"
    if gpu.capabilities:
        defaults["TORCH_CUDA_ARCH_LIST"] = f"{gpu.capabilities}+PTX"
    return {**defaults, **os.environ}


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command, its output into the log, its progress onto the screen.

    Raises:
        SetupError: the command failed; with the end of its output.
    """
    start = shown = time.monotonic()
    with LOG.open("a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        while process.poll() is None:
            time.sleep(0.5)
            now = time.monotonic()
            if now - shown >= (1 if sys.stdout.isatty() else 30):
                show(f"    {clock(now - start)} {activity(log_tail())}")
                shown = now
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        show("")
    if process.returncode:
        end = "\n".join(line[:200] for line in log_tail().splitlines()[-12:])
        hint = (
            "memory ran out: MAX_JOBS=1 make setup needs less"
            if "Killed" in end
            else "the same command goes on from here"
        )
        raise SetupError(
            f"{' '.join(command[2:5])} failed\n{end}\nAll of its output: {LOG}\n{hint}"
        )


def log_tail() -> str:
    """The last lines of the log; one line of a compiler call is a few kB."""
    with LOG.open("rb") as log:
        log.seek(max(0, LOG.stat().st_size - 32_768))
        return log.read().decode(errors="replace")


def activity(output: str) -> str:
    """What pip or the compiler is at, in a few words, from the end of their output."""
    for line in reversed(output.splitlines()):
        compiled = re.match(r"\s*\[(\d+)/(\d+)\] ", line)
        if compiled:
            return "compiling {} of {}".format(*compiled.groups())
        pip = re.match(r"\s*(Downloading|Collecting|Building wheel for) ([\w.-]+)(.*)", line)
        if pip:
            return f"{pip[1].lower()} {pip[2]}{pip[3][:30]}"
        if line.startswith("Installing collected packages"):
            return f"installing {line.count(',') + 1} packages"
    return ""


def show(text: str) -> None:
    """Show a line of progress; on a terminal it takes the place of the one before."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
    elif text:
        print(text, flush=True)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    return "{}:{:02}".format(*divmod(round(seconds), 60))


if __name__ == "__main__":
    sys.exit(main())
