"""How a command of tools/ starts and ends."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable

from vcm_mt.errors import StoppedError, VCMError, told


def command(go_on: str | None = None) -> Callable[[Callable[[], int | None]], Callable[[], int]]:
    """For a tool's ``main``: it prints whatever a name holds, and ends in one line.

    A file's name may have bytes that are no UTF-8, and a terminal may lack a table's signs: what
    cannot be printed becomes a question mark. An error of this package, Ctrl-C, SIGTERM, and a
    file or folder that cannot be read or written end the tool with one line and status 1. Other
    errors are bugs and keep their traceback.

    Args:
        go_on: What to do after Ctrl-C or SIGTERM, such as "start it again"; default what a
            training does, whose :class:`TrainingError` they then become.
    """

    def decorate(main: Callable[[], int | None]) -> Callable[[], int]:
        @functools.wraps(main)
        def run() -> int:
            # PyTorch comes with it, which processes that import a tool alone do not need.
            from vcm_mt.training.endings import clear_ends

            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="replace")
            try:
                with clear_ends() if go_on is None else clear_ends(go_on, StoppedError):
                    status = main() or 0
                    sys.stdout.flush()
                return status
            except VCMError as error:
                print(told(error), file=sys.stderr)
            except OSError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                if isinstance(error, BrokenPipeError):  # else Python tells of it once more
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except UnicodeEncodeError as error:
                if error.reason != "surrogates not allowed":
                    raise
                # Only a name that the system gave holds such, and TensorBoard's files cannot.
                print(f"{error.object[:300]!r} is a name that is not UTF-8: rename it",
                      file=sys.stderr)  # fmt: skip
            return 1

        return run

    return decorate
