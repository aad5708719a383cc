"""The Python interface for inference: transmitter, receiver, detector."""

import warnings
from importlib import import_module
from typing import Any

_PLACES = {
    "Transmitter": "codec",
    "Receiver": "codec",
    "Detector": "detector",
    "refining": "refined",
    "VideoEncoder": "sequences",
    "VideoDecoder": "sequences",
}
__all__ = list(_PLACES)
#: Names of version 0.1, kept for one version.
_FORMER = {"Machine": "Detector"}


def __getattr__(name: str) -> Any:
    """Import a class when it is first used."""
    if name in _FORMER:
        warnings.warn(f"{name} is now {_FORMER[name]}", FutureWarning, stacklevel=2)
        name = _FORMER[name]
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
