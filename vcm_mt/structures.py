"""Small typed structures that are passed between the parts of the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a packet needs no PyTorch, which takes seconds to import
    from torch import Tensor


class Latent(NamedTuple):
    """The transmitter's output for a batch of pictures in training.

    Attributes:
        y_hat: float [B, M, H/16, W/16], the quantised latent that receivers decode.
        bits: float [B], the expected length of each picture's bitstream: the sum of -log2 of the
            likelihoods of y and z.
    """

    y_hat: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Packet:
    """One encoded picture.

    Attributes:
        height: True height of the picture in pixels, before padding.
        width: True width in pixels.
        quality: Quality of the transmitter; 0 if it has none.
        transmitter: The first 4 bytes of the transmitter's fingerprint.
        string: Entropy-coded symbols of z, then of y; of a predicted picture those of y.
        prior: The first 4 bytes of the temporal prior's fingerprint; empty outside sequences with
            predicted pictures.
        predicted: Whether it is predicted from the pictures before it.
    """

    height: int
    width: int
    quality: int
    transmitter: bytes
    string: bytes
    prior: bytes = b""
    predicted: bool = False


class Sent(NamedTuple):
    """A picture that was encoded and decoded.

    Attributes:
        picture: float [1, 3, H, W], RGB in [0, 1], true size.
        num_bytes: Size of the bitstream; ``None`` if nothing was encoded.
        bits_estimated: Sum of -log2 of the likelihoods; ``None`` if the codec has none.
        header_bytes: Number of the bytes that carry no picture content.
    """

    picture: Tensor
    num_bytes: int | None
    bits_estimated: float | None
    header_bytes: int = 0
