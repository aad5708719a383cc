"""Work side by side on threads of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import Any

import torch


def in_threads(kernel: Callable[..., None], count: int, *given: Any) -> None:
    """Run a kernel for consecutive parts of ``count``, on as many threads as PyTorch uses.

    Args:
        kernel: Called with ``given`` and where its part begins and ends; it must let go of the
            interpreter's lock, as Numba's do with ``nogil``.
        count: What is shared out.
        *given: Handed to the kernel.
    """
    threads = torch.get_num_threads()
    ends = [count * k // threads for k in range(threads + 1)]
    first, *others = (part for part in pairwise(ends))
    running = [_workers(os.getpid(), threads).submit(kernel, *given, *part) for part in others]
    kernel(*given, *first)
    for one in running:
        one.result()


def alone(work: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> None:
    """Do parts of a work side by side, each on a thread on which PyTorch uses no others.

    PyTorch's own threads wait busily for a while after each operation, and take the processor from
    compiled kernels that come next. Here they rest until all is done.

    Args:
        work: Called with each part, without gradients.
        parts: Arguments; as many as PyTorch uses threads keep all of them busy.
    """
    given, threads = list(parts), torch.get_num_threads()
    if min(len(given), threads) == 1:
        for part in given:
            work(*part)
        return

    def do(part: tuple[Any, ...]) -> None:
        with torch.no_grad():
            work(*part)

    for _ in _loners(os.getpid(), threads).map(do, given):
        pass


@cache
def _loners(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads on which PyTorch uses no others; the number that new threads take stays."""
    started = Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first call sets the number that all others have
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, initializer=start)
    for _ in range(threads):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(threads)
    return pool


@cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads beside the calling one, kept: to start some takes longer than most kernels.

    A process that was forked has none of its parent's.
    """
    return ThreadPoolExecutor(threads - 1)
