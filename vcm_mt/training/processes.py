"""Processes on a machine without a GPU: memory that is kept, and commands side by side."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil

from vcm_mt.errors import CommandError

_LAST_LINES = 30

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Have glibc keep freed memory for the next step, instead of returning it to the system.

    The system would clear it again at each step. Nothing is changed on other platforms, and where
    the environment sets ``MALLOC_...`` variables.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # Windows has no such module

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def share_of_cores(jobs: int) -> dict[str, str]:
    """Environment variables for one of ``jobs`` processes that share the cores."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own}


def run_commands(commands: Mapping[str, Sequence[str]], jobs: int, show: str = "") -> None:
    """Run commands, ``jobs`` at a time.

    The networks of the embedded set are small and gain little from a second thread: processes
    side by side use the cores better.

    Args:
        commands: Command lines by name; the name is printed before each line of output.
        jobs: Number of commands that run at once; the cores are divided among them.
        show: Print only lines that contain this text.

    Raises:
        CommandError: When a command ends with a status other than 0, with the end of its
            output. The other commands are stopped.
    """
    environment = share_of_cores(jobs)
    running: list[subprocess.Popen[str]] = []
    lock = threading.Lock()
    stopped = threading.Event()

    def run(name: str) -> None:
        with lock:
            if stopped.is_set():
                return
            process = subprocess.Popen(
                commands[name],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            running.append(process)
        assert process.stdout is not None
        last: deque[str] = deque(maxlen=_LAST_LINES)
        for line in process.stdout:
            last.append(line)
            if show in line:
                print(f"[{name}] {line}", end="", flush=True)
        if process.wait() and not stopped.is_set():
            stop()
            raise CommandError(f"{name} failed with status {process.returncode}:\n{''.join(last)}")

    def stop() -> None:
        with lock:
            stopped.set()
            for process in running:
                if process.poll() is None:
                    process.terminate()

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in [pool.submit(run, name) for name in commands]:
                future.result()
        finally:
            stop()
