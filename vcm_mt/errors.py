"""The package's own errors: few types, and each message says what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class VCMError(Exception):
    """Base of every error that this package raises on purpose."""


def told(error: VCMError) -> str:
    """The line to print for an error, also when it comes out of a data loader's worker."""
    lines = str(error).splitlines() or [""]
    if "worker process" in lines[0]:  # PyTorch wraps the worker's whole traceback
        return lines[-1].removeprefix("vcm_mt.errors.")
    return f"{type(error).__name__}: {error}"


class MeasurementError(VCMError, ValueError):
    """What was given can't be measured: a bad R-P point, curve, picture or quantiser."""


class AnchorError(VCMError, RuntimeError):
    """An anchor codec (an outside program) is missing, refused its input, or failed."""


class ConfigError(VCMError, ValueError):
    """A config asks for something that does not exist or does not fit together."""


class DataError(VCMError, ValueError):
    """Pictures or annotations are missing, unreadable or wrong."""


class BitstreamError(VCMError, ValueError):
    """Bytes that are no bitstream, a damaged one, or one for another decoder."""


class FrozenError(VCMError, RuntimeError):
    """Something that must stay frozen changed."""


class TrainingError(VCMError, RuntimeError):
    """A training cannot go on; what it had saved is there."""


class StoppedError(VCMError, RuntimeError):
    """Something from outside ended the work; what was done is there."""


class CommandError(VCMError, RuntimeError):
    """A command that was started here failed."""


@contextmanager
def naming(picture: str) -> Iterator[None]:
    """For the work on one picture: whatever fails with it names it.

    Args:
        picture: Its file.

    Raises:
        VCMError: The same one, or a :class:`DataError` for any other error but those that are not
            the picture's: of the operating system, such as a full disk, and of memory.
    """
    try:
        yield
    except VCMError as error:
        if picture in str(error):
            raise
        raise type(error)(f"{picture}: {error}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if reason.startswith("DataLoader worker"):  # a signal tells of its death, anywhere
            raise
        if "out of memory" in reason or "allocate memory" in reason:  # PyTorch's words
            raise
        raise DataError(f"{picture} cannot be used: {type(error).__name__}: {reason}") from error
