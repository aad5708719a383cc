"""Turn what ends a command from outside into one clear error."""

from __future__ import annotations

import errno
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from vcm_mt.errors import TrainingError, VCMError

GO_ON = "go on from the last checkpoint with the same command and --resume"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Messages of PyTorch, oneDNN and CUDA when memory runs out, in lower case.
_NO_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "alloc_failed")


@contextmanager
def clear_ends(go_on: str = GO_ON, kind: type[VCMError] = TrainingError) -> Iterator[None]:
    """Wrap the whole work of a command, so that whatever ends it from outside is one clear error.

    That is Ctrl-C, SIGTERM, a full disk, too little memory, and the death of a data loader's
    worker or of another process of a distributed training. Other errors are bugs and keep their
    traceback.

    Args:
        go_on: How to go on, for the message of the error.
        kind: Class of the error.

    Raises:
        VCMError: Of class ``kind``; says what happened and how to go on.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    # On a full disk, logging would print a traceback for each line that it cannot write, and
    # TensorBoard's thread another one. The training ends at its next log in any case.
    logging.raiseExceptions = False
    threading.excepthook = _unless_full
    try:
        yield
    except VCMError:
        raise
    except (KeyboardInterrupt, EOFError, OSError, MemoryError, RuntimeError, SyntaxError) as error:
        try:
            reason = _reason(error, kind)
        except RuntimeError as death:  # of a worker, reported by a signal during _reason
            reason = _reason(death, kind)
        if reason is None:
            raise
        raise kind(f"{reason} {go_on}") from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: Any) -> NoReturn:
    raise KeyboardInterrupt("SIGTERM")


def _unless_full(args: threading.ExceptHookArgs) -> None:
    if not _is_full(args.exc_value):
        threading.__excepthook__(args)


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and the errors that caused it.

    A signal may raise anywhere, and mmengine turns any error while it prints a config into a
    SyntaxError.
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException, kind: type[VCMError]) -> str | None:
    """What ended the work and what to do about it; ``None`` for an unknown cause."""
    told = (_told_by(cause, kind is TrainingError) for cause in _causes(error))
    return next((reason for reason in told if reason is not None), None)


def _told_by(error: BaseException, training: bool) -> str | None:
    if isinstance(error, KeyboardInterrupt):
        return f"stopped by {str(error) or 'Ctrl-C'}:"
    text = (str(error).splitlines() or [""])[0].rstrip(" .")
    if _is_full(error):
        return f"the disk is full ({text}): make room, then"
    if told := _tells_of_memory(error):
        if not training:
            return f"memory ran out ({told}): free some, or take smaller pictures, then"
        return (
            f"memory ran out ({told}): lower train_dataloader.batch_size, set "
            "checkpoint_activations=True in the config's tasks, or --amp bf16 on a GPU, then"
        )
    if text.startswith("DataLoader worker"):
        if text.endswith("Terminated"):  # sent to all processes, and a worker ended first
            return "stopped by SIGTERM:"
        return (
            f"{text}; probably memory ran out: lower train_dataloader.num_workers or its "
            "batch_size, then"
        )
    if text.startswith("DataLoader timed out"):
        return (
            f"{text}, so its worker hangs or its storage is too slow: raise "
            "train_dataloader.timeout for slow storage, then"
        )
    if "torch" in sys.modules and _tells_of_a_lost_process(error, text):
        return f"another process of this training is gone ({text}): see what it said, then"
    return None


def _tells_of_memory(error: BaseException) -> str:
    """The line that reports it, possibly behind a worker's traceback; empty if there is none."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return str(error) or type(error).__name__
    lines = str(error).splitlines()
    return next((t for t in lines if any(word in t.lower() for word in _NO_MEMORY)), "").strip(" .")


def _tells_of_a_lost_process(error: BaseException, text: str) -> bool:
    """Whether another process of a distributed training is gone.

    Raises:
        RuntimeError: When it is a data loader's worker that is gone.
    """
    # Not at the top of the module: a command that does without PyTorch starts in a tenth of a
    # second, and has no other processes.
    from torch import distributed
    from torch.utils.data._utils.signal_handling import _error_if_any_worker_fails

    if isinstance(error, ConnectionError | EOFError | FileNotFoundError):
        # A worker that died while it sent a batch: its connection closes before PyTorch notices.
        time.sleep(0.2)
        _error_if_any_worker_fails()
    lost = isinstance(error, distributed.DistError) or "gloo" in text
    return distributed.is_initialized() and lost
