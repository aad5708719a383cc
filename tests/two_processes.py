"""Two real processes of a distributed run, started in no time."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.conftest import _STARTER, ROOT


def on_two(function: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """What ``function(*args)`` returns on either of two processes that a launcher started.

    Args:
        function: Of a module; what it returns must be what ``torch.save`` takes.
        folder: Gets what they print and return.
        *args: Its arguments.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        _STARTER.Process(target=_run, args=(function, folder, rank, port, args)) for rank in (0, 1)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(240)
        process.kill()
    told = "\n".join((folder / f"rank{rank}.log").read_text()[-3000:] for rank in (0, 1))
    assert [process.exitcode for process in started] == [0, 0], told
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def _run(function: Any, folder: Path, rank: int, port: int, args: tuple[Any, ...]) -> None:
    with (folder / f"rank{rank}.log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(ROOT)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    torch.save(function(*args), folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()
