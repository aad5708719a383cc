"""How a command starts and ends, and its parser."""

from __future__ import annotations

import argparse
import functools
import io
import os
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

from vcm_mt.errors import StoppedError, VCMError, told
from vcm_mt.training.endings import clear_ends

P = ParamSpec("P")


class Parser(argparse.ArgumentParser):
    """Parser of a command: its help is the docstring of the command's module.

    The levels of ``--quality`` may stand before positional arguments as well, which argparse would
    take for levels.

    Args:
        name: Of the command.
        description: What the command does, with examples.
    """

    def __init__(self, name: str, description: str | None) -> None:
        super().__init__(
            prog=f"vcm-mt {name}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, by default those of the command line."""
        given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(_levels_last(given), namespace)


def _levels_last(arguments: list[str]) -> list[str]:
    if "--quality" not in arguments or "--" in arguments:
        return arguments
    start = arguments.index("--quality")
    end = start + 1
    while end < len(arguments) and arguments[end].isdigit():
        end += 1
    return [*arguments[:start], *arguments[end:], *arguments[start:end]]


def command(go_on: str | None = None) -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """Decorate the ``main`` of a command, which then ends in one line whatever stops it.

    An error of this package, Ctrl-C, SIGTERM, and a file or folder that cannot be read or written
    end the command with one line on stderr and status 1. Other errors are bugs and keep their
    traceback. Characters that the terminal cannot show are printed as question marks.

    Args:
        go_on: What to do after Ctrl-C or SIGTERM, such as "start it again"; by default how to
            resume a training, whose :class:`TrainingError` they then become.
    """

    def decorate(main: Callable[P, int | None]) -> Callable[P, int]:
        @functools.wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="replace")
            try:
                with clear_ends() if go_on is None else clear_ends(go_on, StoppedError):
                    status = main(*args, **kwargs) or 0
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
