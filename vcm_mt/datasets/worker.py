"""Initialisation of data loader workers."""

from __future__ import annotations

import ctypes
import signal
import sys

from vcm_mt.registry import FUNCTIONS

_PR_SET_PDEATHSIG = 1


@FUNCTIONS.register_module()
def end_with_parent(worker_id: int) -> None:  # noqa: ARG001
    """Let Linux kill this worker when the training process ends.

    A training that is killed cannot stop its workers, which would wait forever to hand over their
    batches, and keep their memory.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
