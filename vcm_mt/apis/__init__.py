"""The Python interface for inference: transmitter, receiver, detector."""

from importlib import import_module
from typing import Any

_PLACES = {
    "Transmitter": "codec",
    "Receiver": "codec",
    "Detector": "detector",
    "refining": "refined",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    """Import a class when it is first used."""
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
