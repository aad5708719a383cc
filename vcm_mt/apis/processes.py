"""Several commands at once on a machine without a GPU, each on its share of the cores."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from vcm_mt.errors import CommandError


def run_commands(commands: Mapping[str, Sequence[str]], jobs: int) -> None:
    """Run commands, ``jobs`` at a time, their output line by line behind their names.

    One thread each for two processes does more than two threads for one: PyTorch's small
    convolutions on this kind of network gain a quarter from a second thread.

    Raises:
        CommandError: When a command ends with another status than 0; the others are stopped.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    running: list[subprocess.Popen[str]] = []
    lock = threading.Lock()
    failed = threading.Event()

    def run(name: str) -> None:
        with lock:
            if failed.is_set():
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
        for line in process.stdout:
            print(f"[{name}] {line}", end="", flush=True)
        if process.wait() and not failed.is_set():
            with lock:
                failed.set()
                for other in running:
                    other.terminate()
            raise CommandError(f"{name} failed with status {process.returncode}, see above")

    try:
        with ThreadPoolExecutor(jobs) as pool:
            for future in [pool.submit(run, name) for name in commands]:
                future.result()
    finally:
        failed.set()
        for process in running:
            if process.poll() is None:
                process.terminate()
