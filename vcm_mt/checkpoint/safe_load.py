"""``torch.load(weights_only=True)`` that also accepts the logs in mmengine's checkpoints."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

#: How files start that ``torch.save`` writes: zip archives, and pickles of older versions.
_MAGIC = (b"PK", b"\x80")


class _Inert:
    """Stands for an object of a log, which nobody reads: accepts any call and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


#: What the pickles of mmengine's logs name. PyTorch looks a name up among the safe globals and
#: never imports it, so that none of the real objects is reached, `getattr` least of all.
_LOG_GLOBALS = (
    ("mmengine.logging.history_buffer", "HistoryBuffer"),
    *((module, name) for module in ("builtins", "__builtin__") for name in ("getattr", "bytes")),
    ("_codecs", "encode"),
    *(("numpy", "dtype"), ("numpy", "ndarray")),
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
)
_STAND_INS: list[Any] = [
    type(name, (_Inert,), {"__module__": module}) for module, name in _LOG_GLOBALS
]


@contextmanager
def inert_logs() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` pass over mmengine's logs.

    Only these stand-ins and PyTorch's own types are accepted inside, whatever the program has
    declared safe elsewhere; that is restored at the end. ``torch.serialization.safe_globals``
    would add to it instead, and PyTorch 2.4 lacks it.
    """
    declared = list(get_safe_globals())
    clear_safe_globals()
    add_safe_globals(_STAND_INS)
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(declared)


def safe_load(path: Path) -> Any:
    """The content of a file that ``torch.save`` wrote, on the CPU. No code in it is run.

    Raises:
        ValueError: The file starts like none that PyTorch writes.
        pickle.UnpicklingError: It asks for an object that may run code, or is damaged.
        Exception: Whatever else PyTorch raises for a damaged file.
    """
    with path.open("rb") as file:
        if not file.read(4).startswith(_MAGIC):
            raise ValueError("PyTorch did not write it")
    try:
        with inert_logs():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(reason(error)) from error


def reason(error: Exception) -> str:
    """Why PyTorch refused a file, in a line.

    Its own message advises, over several lines, to switch the protection off.
    """
    text = str(error)
    if asked := re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", text):
        return f"it asks for {asked[1]}, which may run code"
    *_, last = text.partition("WeightsUnpickler error: ")
    lines = (last or text).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
