"""The entropy model of predicted pictures: a latent from the latents decoded before it.

A video's pictures resemble each other, and so do their latents. On a predicted picture the scales
and means of y come from the y_hat of the pictures before; there is no z. ``g_a`` and every receiver
stay what they are: only the bits change, and each mean by which y is rounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from vcm_mt.bitstream import rans
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.fields import FINGERPRINT_BYTES
from vcm_mt.bitstream.integer import IntegerSynthesis
from vcm_mt.bitstream.symbols import in_threads, require_symbols, rows
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import BitstreamError

#: How many latents before the picture are looked at.
PAST = 2


class Predicted(NamedTuple):
    """A latent that was rounded by the prior's means.

    Attributes:
        y_hat: float [B, M, h, w].
        bits: Its bits, float [B].
        scales: The prior's scales, float [B, M, h, w].
        means: Its means, likewise.
    """

    y_hat: Tensor
    bits: Tensor
    scales: Tensor
    means: Tensor


class TemporalPrior(nn.Module):
    """Scales and means of y_t from y_hat_{t-1} and y_hat_{t-2}.

    .. code-block:: none

        y_hat_{t-1}, y_hat_{t-2} --+--> 1x1 --> 3x3 --> 1x1 --+--> scales, means
                                   |                          |
                                   +----------> 1x1 ----------+

    The latents are those of the hyperprior, before the inverse gains of a codec of several rates.
    The prior starts as "as before, within a step": means y_hat_{t-1}, scales 1.

    Args:
        channels: Channels of y, M.
        width: Channels of the layers between.
        past: How many tensors of M channels it looks at, the first of which are the means that it
            starts with. A codec's are always :data:`PAST` latents.
    """

    def __init__(self, channels: int, width: int = 48, past: int = PAST) -> None:
        super().__init__()
        inputs, outputs = past * channels, 2 * channels
        self.linear = nn.Conv2d(inputs, outputs, 1)
        last = nn.Conv2d(width, outputs, 1)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1),
            nn.LeakyReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(),
            last,
        )
        with torch.no_grad():
            for part in (*self.linear.parameters(), *last.parameters()):
                part.zero_()
            self.linear.weight[channels:, :channels, 0, 0] = torch.eye(channels)
            scales, _ = cast(Tensor, self.linear.bias).chunk(2)
            scales.fill_(1.0)
        self.integer_linear = IntegerSynthesis(self.linear, "the temporal prior's linear part")
        self.integer_body = IntegerSynthesis(self.body, "the temporal prior")

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means, each float [B, M, h, w], from latents [B, 2 M, h, w]."""
        scales, means = (self.linear(past) + self.body(past)).float().chunk(2, 1)
        return scales, means

    def rounded(self, y: Tensor, past: Tensor, entropy: Hyperprior) -> Predicted:
        """Round ``y`` as coding does, with a straight-through gradient.

        y_hat is a symbol and a mean, so that its gradient reaches the mean as well.

        Args:
            y: float [B, M, h, w].
            past: y_hat of the pictures before, float [B, 2 M, h, w]; see :class:`Past`.
            entropy: The hyperprior of the codec.
        """
        y, (scales, means) = y.float(), self(past)
        fixed = ((y - means).round() + means).detach() + (y - y.detach())
        y_hat = fixed + (means - means.detach())
        return Predicted(y_hat, entropy.y_bits(fixed, scales, means), scales, means)

    @torch.no_grad()
    def update_tables(self) -> None:
        """Round the current weights to integers; the Gaussians' tables are the hyperprior's."""
        self.integer_linear.build(self.linear)
        self.integer_body.build(self.body)

    def decoder_state_dict(self) -> dict[str, Tensor]:
        """What a decoder needs: the integer weights, and what the prior's fingerprint counts."""
        return {k: v for k, v in self.state_dict().items() if k.startswith("integer_")}

    def load_decoder_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load the result of :meth:`decoder_state_dict`.

        Raises:
            ValueError: If an entry is missing, unexpected, or of another shape.
        """
        wrong = set(self.decoder_state_dict()) ^ set(state)
        if wrong:
            raise ValueError(f"missing or unexpected: {', '.join(sorted(wrong))}")
        self.load_state_dict(state, strict=False)

    def fingerprint(self) -> str:
        """SHA-256 over the integer weights, which determine the bits, hexadecimal."""
        return fingerprint(self, of="integer_")

    @property
    def mark(self) -> bytes:
        """The first bytes of the fingerprint, which every sequence carries."""
        return bytes.fromhex(self.fingerprint())[:FINGERPRINT_BYTES]

    @property
    def has_tables(self) -> bool:
        """Whether the integer weights have been built or loaded."""
        return all(cast(Tensor, layer.weight).numel() for layer in self.integer_linear.layers)

    @torch.no_grad()
    def compress(self, y: Tensor, past: Tensor, entropy: Hyperprior) -> tuple[list[bytes], Tensor]:
        """Encode latents that follow others.

        Args:
            y: float [B, M, h, w].
            past: y_hat of the pictures before, float [B, 2 M, h, w]; see :class:`Past`.
            entropy: The hyperprior of the codec, for its tables.

        Returns:
            A string each, and y_hat [B, M, h, w] as :meth:`decompress` finds it.

        Raises:
            BitstreamError: If there are no tables yet, or a value is not finite or too large.
        """
        require_symbols(y)
        tables, means = self._in_integers(past, entropy)
        symbols = (y.float() - means).round_()
        numbers = rows(tables)
        joined = [entropy.tables] * len(y)
        return in_threads(rans.encode, rows(symbols), numbers, joined), symbols + means

    @torch.no_grad()
    def decompress(self, strings: Sequence[bytes], past: Tensor, entropy: Hyperprior) -> Tensor:
        """Decode latents that follow others; the inverse of :meth:`compress`.

        Returns:
            y_hat, float [B, M, h, w].

        Raises:
            BitstreamError: If there are no tables yet, or a string is damaged.
        """
        tables, means = self._in_integers(past, entropy)
        decoders = [rans.Decoder(string, entropy.tables) for string in strings]
        taken = in_threads(rans.Decoder.take, decoders, rows(tables))
        for decoder in decoders:
            decoder.close()
        symbols = torch.stack([torch.from_numpy(one) for one in taken])
        return symbols.to(means).view(means.shape) + means

    def _in_integers(self, past: Tensor, entropy: Hyperprior) -> tuple[Tensor, Tensor]:
        """Table indexes and means, bit-identical on every machine for the same latents."""
        if not self.has_tables:
            raise BitstreamError(
                "the temporal prior has no integer weights: call update_tables() after training, "
                "or load a checkpoint that holds them"
            )
        past = past.double()
        scales, means = (self.integer_linear(past) + self.integer_body(past)).chunk(2, 1)
        return entropy.y_tables(scales), means.float()


class Past:
    """The latents that the next picture of a sequence is predicted from."""

    def __init__(self) -> None:
        self._latents: deque[Tensor] = deque(maxlen=PAST)

    def __bool__(self) -> bool:
        """Whether a picture can be predicted."""
        return bool(self._latents)

    def restart(self, y_hat: Tensor) -> None:
        """Begin anew with a key picture's y_hat, float [1, M, h, w]."""
        self._latents.clear()
        self.append(y_hat)

    def append(self, y_hat: Tensor) -> None:
        """Add the y_hat of a predicted picture."""
        self._latents.appendleft(y_hat)

    @property
    def latents(self) -> Tensor:
        """The last latents, the newest first, [1, 2 M, h, w]; the first picture counts twice."""
        known = [*self._latents]
        return torch.cat([*known, *known[-1:] * (PAST - len(known))], 1)
