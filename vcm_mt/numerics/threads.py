"""Compiled kernels side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
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


@cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads beside the calling one, kept: to start some takes longer than most kernels.

    A process that was forked has none of its parent's.
    """
    return ThreadPoolExecutor(threads - 1)
