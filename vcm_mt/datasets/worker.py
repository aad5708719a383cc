"""What a data loader's worker does first."""

from __future__ import annotations

import ctypes
import signal
import sys

from vcm_mt.registry import FUNCTIONS

_PR_SET_PDEATHSIG = 1


@FUNCTIONS.register_module()
def end_with_parent(worker_id: int) -> None:  # noqa: ARG001
    """Have Linux end this worker with the training that it works for.

    A training that is killed can't tell its workers, and PyTorch's wait for ever to hand over what
    they had loaded: each would stay, with its memory.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
