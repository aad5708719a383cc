"""Make the project's own environment in .venv: safe to interrupt, quick when nothing is to do.

Standard library only, because it runs before anything is installed. Order matters: mmcv has no
wheel for a current torch, so it is compiled against the torch that is already there, and its
compiled part is checked by calling it.

    python3 tools/dev/bootstrap.py                # or any make target that needs the environment
    python3 tools/dev/bootstrap.py --torch cpu    # PyTorch's build without CUDA's libraries

On a machine with an NVIDIA GPU and CUDA's compiler, mmcv's ops are compiled for both. Otherwise the
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

from gpu import GPU, find_gpu, hide_gpus, ops_check, reason_against, said_by

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ready"
LOG = VENV / "bootstrap.log"
CONSTRAINTS = ROOT / "constraints.txt"
CPU_TORCH = VENV / "torch_cpu"  # there once PyTorch's build for the CPU was asked for


SUPPORTED = ((3, 10), (3, 11), (3, 12))
GIB_PER_COMPILER = {False: 2, True: 4}  # with nvcc it is the larger
PROGRESS = 20.0  # seconds from one line of progress to the next
#: Poses and actions: what these name as their own requirements can't all be built or be had here.
ALONE = ("mmpose", "munkres", "mmaction2", "einops", "importlib_metadata<9", "zipp")
MMCV = ("--verbose", "--no-deps", "--no-build-isolation", "onedl-mmcv")


class SetupError(Exception):
    """Set-up can't go on; the message says what to do."""


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
    if gpu and repr(gpu) not in known:  # another GPU, which this build may serve too
        if failure_of(ops_check(gpu)):
            return False
        STAMP.write_text("\n".join([key, *known, repr(gpu)]))
    return True


def stamp_key() -> str:
    """Hash of all that decides what .venv holds; its place too, for no venv can be moved."""
    digest = hashlib.sha256(str(VENV).encode())
    for file in (CONSTRAINTS, ROOT / "setup.cfg", VENV / "pyvenv.cfg"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def usable(gpu: GPU | None) -> GPU | None:
    """The GPU if mmcv's ops can be compiled for it; says in one line why not."""
    if gpu and (reason := reason_against(gpu, cuda_of_torch())):
        print(f"    GPU ({gpu.capabilities}) is left alone and this environment is for the CPU: "
              f"{reason}; then make setup", flush=True)  # fmt: skip
        return None
    return gpu


def cuda_of_torch() -> str:
    """The release of CUDA that the installed PyTorch was built with; empty without one."""
    return said_by(VENV_PYTHON, "-c", "import torch; print(torch.version.cuda or '')").strip()


def runs(python: str | Path) -> bool:
    """Whether the interpreter starts: a version manager's launcher may exist and still not."""
    return bool(said_by(python, "--version"))


def check_machine() -> None:
    """Report problems that would otherwise appear minutes later.

    Raises:
        SetupError: On Windows, or under another Python; or the C++ compiler, Python's headers or
            its venv module is missing.
    """
    if sys.platform == "win32":
        raise SetupError(
            "make setup is for Linux and macOS: on Windows use WSL, or pip as README has it"
        )
    python = "python{}.{}".format(*sys.version_info)
    if sys.version_info[:2] not in SUPPORTED:
        raise SetupError(
            f"Python 3.10, 3.11 or 3.12 is needed, not {python}. Install one, or name it: "
            "make setup PYTHON=/path/to/python3.11"
        )
    compiler = os.environ.get("CXX", "c++").split()[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    needed = (
        (shutil.which(compiler), f"no C++ compiler ({compiler}) was found", "g++"),
        (header.is_file(), "Python.h is missing", f"{python}-dev"),
        (importlib.util.find_spec("ensurepip"), "this Python can't make a venv", f"{python}-venv"),
    )
    for there, problem, package in needed:
        if not there:
            raise SetupError(f"{problem}. On Debian or Ubuntu: sudo apt install {package}")


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
        pip_install("--editable", ".[onedl,tracking,seg,dev]")
        pip_install("--no-deps", *ALONE)
    with step("5/5 check of mmcv's compiled ops and of the versions", "half a minute"):
        hide_gpus(VENV, compiled_for is None)
        check_installed(compiled_for)
    STAMP.write_text("\n".join([stamp_key(), *([repr(gpu)] if gpu else [])]))
    print("Ready.", flush=True)


@contextmanager
def step(what: str, usual: str) -> Iterator[None]:
    """Say what is being done, how long it usually takes and how long it took."""
    start = time.monotonic()
    print(f"[{what}] (about {usual})", flush=True)
    yield
    print(f"    done in {minutes(start)}", flush=True)


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


def install_torch(cpu: bool, index: str | None) -> None:
    """Install torch and torchvision, of the build that was asked for.

    Raises:
        SetupError: No index has the build for the CPU.
    """
    if not cpu:
        pip_install("torch", "torchvision")
        return
    pinned = re.findall(r"^(torch|torchvision)==([\w.]+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    pins = [f"{name}=={version}+cpu" for name, version in pinned]
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


def check_installed(gpu: GPU | None) -> None:
    """Call one of mmcv's ops where it will run, then import the package with its version gate.

    pip caches the wheel of mmcv that it built, whatever torch and GPU it was built for: where the
    op fails, mmcv is compiled anew, once. OpenCV's build without windows is taken where the
    ordinary one lacks the system's libGL.

    Raises:
        SetupError: The ops fail after a fresh build as well, or the gate refuses what is installed.
    """
    if failure_of("import cv2"):
        pip_install("--force-reinstall", "--no-deps", "opencv-python-headless")
    check = ops_check(gpu)
    if failure_of(check):
        print("    mmcv's ops fail (a build for another torch or device): compiling", flush=True)
        pip_install("--force-reinstall", "--no-cache-dir", *MMCV, gpu=gpu)
        if reason := failure_of(check):
            raise SetupError(f"mmcv's ops fail after a fresh build too:\n{reason}\nIts log: {LOG}")
    if reason := failure_of("import vcm_mt, torchvision, compressai, mmdet"):
        raise SetupError(f"{reason}\nIf this goes on: rm -r {VENV}, then the same command again")


def failure_of(code: str) -> str:
    """Run Python code inside .venv; return the end of its traceback, empty when it went well."""
    done = subprocess.run([VENV_PYTHON, "-c", code], capture_output=True, text=True, cwd=ROOT)
    end = "\n".join(done.stderr.strip().splitlines()[-8:])
    return (end or f"ended with status {done.returncode}") if done.returncode else ""


def pip_install(*arguments: str, gpu: GPU | None = None) -> None:
    """Call pip inside .venv, held to the pinned versions; what it compiles, for a GPU if given.

    Raises:
        SetupError: pip failed.
    """
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--constraint", str(CONSTRAINTS)]
    run([*pip, *arguments], environment(gpu))


def environment(gpu: GPU | None = None) -> dict[str, str]:
    """What pip and mmcv's build read; a value that the user has set stays."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = GIB_PER_COMPILER[gpu is not None] << 30
    defaults = {
        "MMCV_WITH_OPS": "1",
        "CFLAGS": "-O2 -g0",
        "MAX_JOBS": str(max(1, min(os.cpu_count() or 1, memory // needed))),
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
    """Run a command; its output goes into the log, now and then a word of it onto the screen.

    Raises:
        SetupError: The command failed; with the end of its output.
    """
    start = time.monotonic()
    with LOG.open("a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        while status_of(process) is None:
            print(f"    {minutes(start)} {activity(last_lines())}", flush=True)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        end = [line[:200] for line in last_lines()[-12:]]
        hint = "the same command goes on from here"
        if any("Killed" in line for line in end):
            hint = "memory ran out: MAX_JOBS=1 make setup needs less"
        what = " ".join(command[2:5])
        raise SetupError("\n".join([f"{what} failed", *end, f"Its whole output: {LOG}", hint]))


def status_of(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status; ``None`` when the process goes on for another while."""
    try:
        return process.wait(PROGRESS)
    except subprocess.TimeoutExpired:
        return None


def last_lines() -> list[str]:
    """The end of the log; one line of a compiler call is a few kB."""
    with LOG.open("rb") as log:
        log.seek(max(0, LOG.stat().st_size - 32_768))
        return log.read().decode(errors="replace").splitlines()


def activity(lines: list[str]) -> str:
    """What pip or the compiler is doing, in a few words, by the end of their output."""
    for line in reversed(lines):
        if compiled := re.match(r"\s*\[(\d+)/(\d+)\] ", line):
            return "compiling {} of {}".format(*compiled.groups())
        if pip := re.match(r"\s*(Downloading|Collecting|Building wheel for) ([\w.-]+)(.*)", line):
            return f"{pip[1].lower()} {pip[2]}{pip[3][:30]}"
        if line.startswith("Installing collected packages"):
            return f"installing {line.count(',') + 1} packages"
    return ""


def minutes(start: float) -> str:
    """The time since ``start``, as minutes and seconds."""
    return "{}:{:02}".format(*divmod(round(time.monotonic() - start), 60))


if __name__ == "__main__":
    sys.exit(main())
