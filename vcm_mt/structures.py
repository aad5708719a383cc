"""The small typed things that pass between rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a packet needs no PyTorch, which takes seconds to import
    from torch import Tensor


class Latent(NamedTuple):
    """What the transmitter makes of a batch of pictures during training.

    Attributes:
        y_hat: float [B, M, H/16, W/16], the quantised latent that a receiver decodes.
        bits: float [B], expected length of each picture's bitstream, -log2 of the
            likelihoods of y and z, summed.
    """

    y_hat: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Packet:
    """One picture as it is sent.

    Attributes:
        height: True height of the picture in pixels, before padding.
        width: True width in pixels.
        quality: Quality level of the transmitter, 0 where it has none.
        transmitter: The first 4 bytes of the transmitter's fingerprint.
        string: Entropy-coded symbols of z, then of y.
    """

    height: int
    width: int
    quality: int
    transmitter: bytes
    string: bytes


class Sent(NamedTuple):
    """A picture after its journey through a bitstream.

    Attributes:
        picture: float [1, 3, H, W], RGB in [0, 1], true size.
        num_bytes: Size of the file that would be sent; ``None`` where nothing was coded.
        bits_estimated: What the likelihoods said; ``None`` where the codec has none.
        header_bytes: Those of the bytes that carry no picture content.
    """

    picture: Tensor
    num_bytes: int | None
    bits_estimated: float | None
    header_bytes: int = 0
