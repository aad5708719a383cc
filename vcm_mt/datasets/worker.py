"""Initialisation of data loader workers."""

from __future__ import annotations

import ctypes
import signal
import sys
from types import TracebackType

from vcm_mt.registry import FUNCTIONS

_PR_SET_PDEATHSIG = 1


@FUNCTIONS.register_module()
def end_with_parent(worker_id: int) -> None:  # noqa: ARG001
    """Let this worker of a data loader end with the training process, and silently.

    A training that is killed cannot stop its workers, which would wait forever to hand over their
    batches, and keep their memory: Linux kills them. A training that is stopped while a worker
    hands over a batch drops the connection: the thread behind it prints no traceback.
    """
    sys.excepthook = _unless_dropped
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _unless_dropped(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)
