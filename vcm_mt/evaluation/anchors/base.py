"""What every anchor codec is: picture to bytes, bytes to picture, and a record of how."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import MeasurementError

#: uint8 [H, W, 3], RGB, 0..255.
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class AnchorRecord:
    """Everything that decides an anchor's bytes and pictures, but the QP.

    Attributes:
        name: For readers, with the encoder that stands behind the standard: 'VVC (VVenC)'.
        version: What the binaries say of themselves.
        preset: The encoder's speed preset.
        options: Encoder options as given, and the conversion of colours.
    """

    name: str
    version: str
    preset: str
    options: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the record, 64 hex digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class Anchor(ABC):
    """A standard codec, used picture by picture (all-intra)."""

    record: AnchorRecord

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the record: equal only where bytes and pictures are bound to be equal."""
        return self.record.fingerprint

    @abstractmethod
    def encode(self, picture: Picture, qp: int) -> bytes:
        """Code one picture; the length of the result is what counts as its rate."""

    @abstractmethod
    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode what `encode` gave for a picture of this size."""


def check_picture(picture: Picture) -> None:
    """Raise MeasurementError unless `picture` is uint8 [H, W, 3] with at least one pixel."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise MeasurementError(
            f"an anchor codes RGB pictures, uint8 [H, W, 3]; got {picture.dtype} "
            f"{list(picture.shape)}: convert it first"
        )
