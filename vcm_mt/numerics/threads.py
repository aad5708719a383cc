"""Running of compiled kernels on several threads."""

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
    """Run a kernel on consecutive parts of ``range(count)``, on as many threads as PyTorch uses.

    Args:
        kernel: Called as ``kernel(*given, begin, end)``. It must release the interpreter's lock,
            as kernels of Numba do with ``nogil``.
        count: Number of items.
        *given: Arguments of the kernel.
    """
    threads = torch.get_num_threads()
    ends = [count * k // threads for k in range(threads + 1)]
    first, *others = (part for part in pairwise(ends))
    running = [_workers(os.getpid(), threads).submit(kernel, *given, *part) for part in others]
    kernel(*given, *first)
    for one in running:
        one.result()


def alone(work: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> None:
    """Run parts of a task in parallel, each on a thread for which PyTorch is single-threaded.

    PyTorch's own threads spin for a while after each operation, which slows down compiled kernels
    that follow. Here they are idle until all parts are done.

    Args:
        work: Called as ``work(*part)`` without gradients.
        parts: Arguments of each call; use at least as many parts as PyTorch has threads.
    """
    given, threads = list(parts), torch.get_num_threads()
    if min(len(given), threads) == 1:
        for part in given:
            work(*part)
        return

    # Modes of PyTorch belong to a thread, and what is made in inference mode is only written there.
    inference = torch.is_inference_mode_enabled()

    def do(part: tuple[Any, ...]) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            work(*part)

    for _ in _loners(os.getpid(), threads).map(do, given):
        pass


@cache
def _loners(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads for which PyTorch is single-threaded; the default of other threads is kept."""
    started = Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # the first call in a thread resets it to the default
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
    """A cached pool: starting threads takes longer than most kernels run.

    The key contains the process, because a forked process has no threads of its parent.
    """
    return ThreadPoolExecutor(threads - 1)
