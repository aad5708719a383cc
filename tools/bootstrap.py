"""Make the project's own environment in .venv: safe to interrupt, quick when nothing is to do.

Standard library only, for it runs before anything is installed. Order matters: mmcv has no wheel
for a current torch, so it is compiled against the torch that is already there, and its compiled
part is checked by calling it.

    python3 tools/bootstrap.py      # or any make target that needs the environment
"""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ready"
LOG = VENV / "bootstrap.log"
CONSTRAINTS = ROOT / "constraints.txt"

SUPPORTED = ((3, 11), (3, 12), (3, 10))  # the one that the tests ran on first
GIB_PER_COMPILER = 2
MMCV = ("--verbose", "--no-deps", "--no-build-isolation", "onedl-mmcv")

# Two boxes that overlap and one apart. A build for another torch fails in the import already.
CHECK_OPS = """
import torch
from mmcv.ops import nms
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])
kept = nms(boxes, torch.tensor([.9, .8, .7]), iou_threshold=0.5)[1].tolist()
assert kept == [0, 2], f'nms kept {kept} instead of [0, 2]'
"""


class SetupError(Exception):
    """Set-up can't go on; the message says what to do."""


def main() -> int:
    """Bring .venv to what constraints.txt and setup.cfg ask for; return the exit status."""
    try:
        if is_ready():
            return 0
        use_supported_python()
        check_machine()
        install()
    except SetupError as error:
        print(f"\nset-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def is_ready() -> bool:
    """Whether the last set-up ended well and nothing that decides it has changed since."""
    return STAMP.is_file() and runs(VENV_PYTHON) and STAMP.read_text() == stamp_key()


def stamp_key() -> str:
    """Hash of all that decides what .venv holds; its place too, for no venv can be moved."""
    digest = hashlib.sha256(str(VENV).encode())
    for file in (CONSTRAINTS, ROOT / "setup.cfg", VENV / "pyvenv.cfg"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


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
        SetupError: the C++ compiler, Python's headers or its venv module is missing.
    """
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


def install() -> None:
    """Run every step; each finds by itself what an earlier, interrupted call has done."""
    print(f"Setting up {VENV}: about 15 minutes and 8 GB. Log: {LOG.name} in it", flush=True)
    with step("1/5 environment and build tools", "half a minute"):
        make_venv()
        pip_install("--upgrade", "pip", "setuptools", "packaging", "ninja")
    with step("2/5 torch and torchvision", "3 minutes, downloads 3 GB"):
        pip_install("torch", "torchvision")
    with step("3/5 mmcv, compiled for this torch", "8 minutes on 2 cores, seconds if cached"):
        pip_install(*MMCV)
    with step("4/5 the other packages and vcm_mt", "2 minutes"):
        pip_install("--editable", ".[onedl,dev]")
    with step("5/5 check of mmcv's compiled ops and of the versions", "half a minute"):
        ensure_opencv()
        ensure_ops()
        ensure_import()
    STAMP.write_text(stamp_key())
    print("Ready.", flush=True)


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


def ensure_ops() -> None:
    """Call a compiled op; build mmcv again, once, when that fails.

    pip caches the built wheel without regard to the torch that it was built for.

    Raises:
        SetupError: the ops fail after a fresh build as well.
    """
    if not failure_of(CHECK_OPS):
        return
    print("    mmcv's ops don't work with this torch (a stale cached build): compiling", flush=True)
    pip_install("--force-reinstall", "--no-cache-dir", *MMCV)
    reason = failure_of(CHECK_OPS)
    if reason:
        raise SetupError(
            f"mmcv's ops fail after a fresh build too:\n{reason}\nThe build's output: {LOG}"
        )


def ensure_import() -> None:
    """Import the package, and with it its version gate.

    Raises:
        SetupError: the gate refuses what is installed.
    """
    reason = failure_of("import vcm_mt, torchvision, compressai, mmdet")
    if reason:
        raise SetupError(f"{reason}\nIf this goes on: rm -r {VENV}, then the same command again")


# ---- processes and what is shown of them ---------------------------------------------------------


def pip_install(*arguments: str) -> None:
    """Call pip inside .venv, held to the pinned versions.

    Raises:
        SetupError: pip failed.
    """
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--constraint", str(CONSTRAINTS)]
    run([*pip, *arguments])


def failure_of(code: str) -> str:
    """Run Python code inside .venv; return the end of its traceback, empty when it went well."""
    done = subprocess.run([VENV_PYTHON, "-c", code], capture_output=True, text=True, cwd=ROOT)
    end = "\n".join(done.stderr.strip().splitlines()[-8:])
    return (end or f"ended with status {done.returncode}") if done.returncode else ""


def environment() -> dict[str, str]:
    """What pip and mmcv's build read; a value that the user has set stays."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    jobs = max(1, min(os.cpu_count() or 1, memory // (GIB_PER_COMPILER << 30)))
    defaults = {
        "MMCV_WITH_OPS": "1",
        "CFLAGS": "-O2 -g0",
        "MAX_JOBS": str(jobs),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_PROGRESS_BAR": "off",
    }
    # A visible GPU makes mmcv ask for the CUDA compiler: this environment is for the CPU.
    return {**defaults, **os.environ, "CUDA_VISIBLE_DEVICES": ""}


def run(command: list[str]) -> None:
    """Run a command, its output into the log, its progress onto the screen.

    Raises:
        SetupError: the command failed; with the end of its output.
    """
    start = shown = time.monotonic()
    with LOG.open("a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT
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
