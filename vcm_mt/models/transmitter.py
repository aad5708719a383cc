"""theta_e: everything that determines the bitstream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from compressai.models.base import CompressionModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from typing_extensions import Self

from vcm_mt.bitstream import container
from vcm_mt.bitstream.context import entropy_model
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.fields import FINGERPRINT_BYTES, check_size
from vcm_mt.bitstream.gains import Gains
from vcm_mt.bitstream.temporal import TemporalPrior
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.models.precision import transformed
from vcm_mt.models.resampling import scaled_down, spread
from vcm_mt.structures import Latent, Packet


class Transmitter(nn.Module):
    """Picture in, one common bitstream out (the paper's figure 2, left).

    .. code-block:: none

        x --> g_a --> y --> entropy: hyperprior --> y_hat, bits    (training)
                               |
                               +--> strings --> packets            (coding)

    Args:
        codec: A CompressAI model; its ``g_s`` is left to the receivers.
        quality: Quality written into every packet; with ``gains`` the default one.
        quantizer: See :data:`vcm_mt.bitstream.entropy.QUANTIZERS`.
        gains: Initial gains of several qualities, see :class:`vcm_mt.bitstream.gains.Gains`.
        temporal: Width of the prior for predicted pictures, see
            :class:`vcm_mt.bitstream.temporal.TemporalPrior`; 0 for none.
    """

    def __init__(
        self,
        codec: CompressionModel,
        quality: int = 0,
        quantizer: str = "noise",
        gains: Sequence[float] = (),
        temporal: int = 0,
    ) -> None:
        super().__init__()
        self.quality = quality
        self.amp: bool | str = False  # see vcm_mt.models.precision
        self.g_a = codec.g_a
        self.entropy = entropy_model(codec, quantizer)
        self.gains = Gains(gains, codec.M) if gains else None
        self.temporal = TemporalPrior(codec.M, temporal) if temporal else None
        self._mark: bytes | None = None

    @property
    def qualities(self) -> list[int]:
        """The qualities that it can send."""
        return [self.quality] if self.gains is None else list(range(1, len(self.gains) + 1))

    def forward(self, x: Tensor, quality: int | None = None) -> Latent:
        """Analyse and quantise pictures, float [B, 3, H, W] in [0, 1], padded."""
        return self.estimate(self._transformed(x), quality)

    def estimate(self, y: Tensor, quality: int | None = None) -> Latent:
        """Quantise latents y [B, M, h, w] and estimate their rate."""
        gain, inverse = self._gains(y, quality)
        y_hat, bits = self.entropy(y * gain)
        return Latent(y_hat * inverse, bits)

    def rounded(self, y: Tensor, quality: int | None = None) -> Latent:
        """Round latents y [B, M, h, w] as coding does, with a straight-through gradient."""
        gain, inverse = self._gains(y, quality)
        y_hat, bits = self.entropy.rounded(y * gain)
        return Latent(y_hat * inverse, bits)

    def bit_map(self, y: Tensor, quality: int | None = None) -> Tensor:
        """The estimated rate by 16x16 pixels of the picture; see :meth:`Hyperprior.bit_map`."""
        gain, _ = self._gains(y, quality)
        return spread(self.entropy.bit_map(y * gain), self.g_a)

    def analyse(self, pictures: Tensor) -> Tensor:
        """The latents y, float [B, M, h, w], of pictures [B, 3, H, W] of any size."""
        check_size(*pictures.shape[-2:])
        return self._transformed(pad(pictures, self.entropy.divisor))

    def _transformed(self, x: Tensor) -> Tensor:
        return transformed(self.g_a, scaled_down(x, self.g_a), self.amp)

    @torch.no_grad()
    def quantise(self, pictures: Tensor, quality: int | None = None) -> Tensor:
        """The y_hat [B, M, h, w] that :meth:`decode` finds in the bytes of :meth:`encode`."""
        y = self.analyse(pictures)
        gain, inverse = self._gains(y, quality)
        return self.entropy.quantise(y * gain) * inverse

    @torch.no_grad()
    def encode(self, pictures: Tensor, quality: int | None = None) -> list[bytes]:
        """Encode pictures of one size, each to the bytes that are sent.

        Args:
            pictures: float [B, 3, H, W], RGB in [0, 1], any size.
            quality: One of :attr:`qualities`; by default :attr:`quality`.

        Raises:
            BitstreamError: If the pictures are too large, or there are no entropy tables.
            ConfigError: For a quality that the transmitter does not have.
        """
        height, width = pictures.shape[-2:]
        return self.code(self.analyse(pictures), height, width, quality)

    @torch.no_grad()
    def code(self, y: Tensor, height: int, width: int, quality: int | None = None) -> list[bytes]:
        """Encode the latents of pictures of ``height`` and ``width``."""
        strings = self.entropy.compress(self.scaled(y, quality))
        quality = self.quality if quality is None else quality
        return [
            container.pack(Packet(height, width, quality, self.mark, string)) for string in strings
        ]

    def scaled(self, y: Tensor, quality: int | None = None) -> Tensor:
        """Latents y [B, M, h, w] as the hyperprior sees them, times the gains of a quality."""
        gain, _ = self._gains(y, quality)
        return y * gain

    def unscaled(self, y_hat: Tensor, quality: int | None = None) -> Tensor:
        """The hyperprior's y_hat [B, M, h, w] as receivers see it, times the inverse gains."""
        _, inverse = self._gains(y_hat, quality)
        return y_hat * inverse

    def _gains(self, y: Tensor, quality: int | None) -> tuple[Tensor, Tensor] | tuple[float, float]:
        """The factors of latents before and after they are quantised."""
        quality = self.quality if quality is None else quality
        if quality not in self.qualities:
            known = ", ".join(map(str, self.qualities))
            raise ConfigError(f"the transmitter has no quality {quality}, but {known}")
        return (1.0, 1.0) if self.gains is None else self.gains([quality] * len(y))

    def decode(self, data: bytes) -> tuple[Tensor, tuple[int, int]]:
        """Decode the bytes of one picture to the latent that is the input of every receiver.

        Returns:
            y_hat, float [1, M, h, w], and the picture's true height and width.

        Raises:
            BitstreamError: If the bytes are damaged or come from another transmitter.
        """
        packet = container.unpack(data)
        return self.decode_packets([packet]), (packet.height, packet.width)

    def decode_packets(self, packets: Sequence[Packet]) -> Tensor:
        """Decode packets of one size to latents; see :func:`decode_packets`."""
        return decode_packets(packets, self.entropy, self.mark, self.gains)

    def fingerprint(self) -> str:
        """SHA-256 over every parameter and table that determines a picture's bits, hexadecimal.

        The temporal prior has a fingerprint of its own: a receiver that was trained before it
        belongs to the same transmitter as one that was trained after.
        """
        return fingerprint(self, without="temporal.")

    def update_tables(self) -> None:
        """Build the entropy tables from the current parameters."""
        self.entropy.update_tables()
        if self.temporal is not None:
            self.temporal.update_tables()
        self._mark = None

    @property
    def mark(self) -> bytes:
        """The first bytes of the fingerprint, which every packet carries."""
        if self._mark is None:
            self._mark = bytes.fromhex(self.fingerprint())[:FINGERPRINT_BYTES]
        return self._mark

    @property
    def prior_mark(self) -> bytes:
        """The first bytes of the temporal prior's fingerprint; empty without one."""
        return b"" if self.temporal is None else self.temporal.mark

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and forget the mark: training may change the parameters."""
        self._mark = None
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._mark = None


@torch.no_grad()
def decode_packets(
    packets: Sequence[Packet], entropy: Hyperprior, mark: bytes, gains: Gains | None = None
) -> Tensor:
    """Decode packets of one size to latents, float [B, M, h, w].

    Args:
        packets: Of pictures of one size.
        entropy: The transmitter's entropy model, or one that loaded its ``decoder_state_dict``.
        mark: The transmitter's :attr:`Transmitter.mark`.
        gains: The transmitter's gains, if it has several qualities.

    Raises:
        BitstreamError: If a packet is damaged or comes from another transmitter.
    """
    for packet in packets:
        check_sender(packet, mark)
        if packet.predicted:
            raise BitstreamError(
                "a predicted picture needs the pictures before it: decode the sequence in order, "
                "with VideoDecoder or vcm-mt decode"
            )
    strings = [packet.string for packet in packets]
    return rescaled(entropy.decompress(strings, z_shape_of(packets[0], entropy)), packets, gains)


def check_sender(packet: Packet, mark: bytes) -> None:
    """Check that a packet comes from the transmitter with this mark.

    Raises:
        BitstreamError: If not.
    """
    if packet.transmitter != mark:
        raise BitstreamError(
            f"the bitstream was made by transmitter {packet.transmitter.hex()}, "
            f"this is {mark.hex()}: load the weights that it was encoded with"
        )


def z_shape_of(packet: Packet, entropy: Hyperprior) -> tuple[int, int]:
    """Height and width of a picture's z."""
    return -(-packet.height // entropy.divisor), -(-packet.width // entropy.divisor)


def rescaled(y_hat: Tensor, packets: Sequence[Packet], gains: Gains | None) -> Tensor:
    """Latents [B, M, h, w] as receivers see them: times the inverse gains of their qualities.

    Raises:
        BitstreamError: For a quality that there is not.
    """
    if gains is None:
        return y_hat
    try:
        _, inverse = gains([packet.quality for packet in packets])
    except ConfigError as error:
        raise BitstreamError(f"the bitstream is damaged: {error}") from error
    return y_hat * inverse


def pad(picture: Tensor, divisor: int) -> Tensor:
    """Extend pictures [B, 3, H, W] on the right and below to multiples of ``divisor``.

    The border is repeated: zeros would make an edge, which costs bits.
    """
    height, width = (size + -size % divisor for size in picture.shape[-2:])
    return extend(picture, height, width)


def extend(picture: Tensor, height: int, width: int) -> Tensor:
    """Extend pictures [B, 3, H, W] on the right and below to ``height`` and ``width``."""
    below, right = height - picture.shape[-2], width - picture.shape[-1]
    if not below and not right:
        return picture
    return F.pad(picture, (0, right, 0, below), mode="replicate")
