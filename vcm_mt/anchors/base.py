"""The interface of anchors: codecs that ours are compared with."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import MeasurementError

#: uint8 [H, W, 3], RGB, 0..255.
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class AnchorRecord:
    """Everything but the QP that decides an anchor's bytes and pictures.

    Attributes:
        name: For readers, with the encoder that stands behind the standard: 'VVC (VVenC)'.
        version: What the binaries or libraries say of themselves.
        preset: The encoder's speed preset; empty where it has none.
        options: Encoder options as given, and the conversion of colours.
        binary: Name and SHA-256 of the program, where it is one. Its version already decides what
            it writes, so that builds for other machines share a fingerprint.
    """

    name: str
    version: str
    preset: str
    options: tuple[str, ...]
    binary: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the record but the binary, 64 hex digits."""
        decides = {name: value for name, value in asdict(self).items() if name != "binary"}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class Anchor(ABC):
    """A codec to compare with, applied to single pictures (all-intra).

    QP stands for the codec's own parameter of quality: a QP of VVC, a CRF of AV1, a quality of
    JPEG, a level of a learned codec.

    Attributes:
        record: What decides bytes and pictures besides the QP.
        qualities: The default sweep of the QP, in the order of the rate.
        quality_range: All valid values of the QP.
    """

    record: AnchorRecord
    qualities: tuple[int, ...]
    quality_range: Sequence[int]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the record: anchors of one fingerprint give equal bytes and pictures."""
        return self.record.fingerprint

    @abstractmethod
    def encode(self, picture: Picture, qp: int) -> bytes:
        """Encode one picture, uint8 [H, W, 3]; the length of the result is its rate."""

    @abstractmethod
    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode a stream of a picture of this size: uint8 [H, W, 3]."""

    @abstractmethod
    def header_bytes(self, data: bytes) -> int:
        """Number of bytes without picture content: parameter sets, headers, boxes.

        They count in the rate; results give the rate without them beside it.

        Raises:
            AnchorError: The bytes are no stream of this codec.
        """


def check_picture(picture: Picture) -> None:
    """Raise a MeasurementError unless `picture` is uint8 [H, W, 3] with at least one pixel."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise MeasurementError(
            f"an anchor codes RGB pictures, uint8 [H, W, 3]; got {picture.dtype} "
            f"{list(picture.shape)}: convert it first"
        )


def check_quality(codec: str, parameter: str, qualities: Sequence[int], qp: int) -> None:
    """Raise a MeasurementError unless `qp` is an integer in `qualities`."""
    if qp not in qualities:
        raise MeasurementError(
            f"{codec} takes a {parameter} of {qualities[0]} to {qualities[-1]}, got {qp}"
        )
