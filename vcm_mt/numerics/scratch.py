"""Memory for intermediate results that a thread uses again."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

#: Largest piece of memory that is kept, in values.
MOST = 1 << 25

_kept = threading.local()


@contextmanager
def scratch(count: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """Memory for ``count`` values, [count], which this thread keeps for the next time.

    To get new memory from the system takes longer than most of what is done in it.
    """
    spare: list[Tensor] = _kept.__dict__.setdefault(str(dtype), [])  # by size
    place = bisect_left(spare, count, key=len)
    if place < len(spare):
        memory = spare.pop(place)
    else:
        del spare[-1:]  # a larger one takes its place
        with torch.inference_mode(False):  # else it could be written in that mode only
            memory = torch.empty(count, dtype=dtype)
    try:
        yield memory[:count]
    finally:
        if len(memory) <= MOST:
            insort(spare, memory, key=len)
