"""Key pictures and predicted ones: which a picture becomes, and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.temporal import Past, TemporalPrior
from vcm_mt.errors import BitstreamError, ConfigError


class Coded(NamedTuple):
    """A picture of a sequence as a string.

    Attributes:
        string: Entropy-coded symbols: of y if predicted, else of z and y.
        predicted: Whether the string needs the latents before it.
        y_hat: float [1, M, h, w], as :class:`SequenceDecoder` finds it.
    """

    string: bytes
    predicted: bool
    y_hat: Tensor


class SequenceEncoder:
    """Encodes latents one after another, each in the shorter of two ways.

    Args:
        entropy: The transmitter's hyperprior.
        prior: Its temporal prior.
        key_interval: At least every so many pictures one is a key picture, at which decoding can
            begin.

    Raises:
        ConfigError: If ``key_interval`` is below 1.
    """

    def __init__(self, entropy: Hyperprior, prior: TemporalPrior, key_interval: int = 60) -> None:
        if key_interval < 1:
            raise ConfigError(f"the key interval must be 1 or more, not {key_interval}")
        self._entropy, self._prior, self._interval = entropy, prior, key_interval
        self._past = Past()
        self._since = 0

    @torch.no_grad()
    def encode(self, y: Tensor) -> Coded:
        """Encode the next latent, float [1, M, h, w].

        Raises:
            BitstreamError: If there are no tables, or a value is not finite or too large.
        """
        (key,) = self._entropy.compress(y)
        if self._past and self._since < self._interval:
            (string,), y_hat = self._prior.compress(y, self._past.latents, self._entropy)
            if len(string) <= len(key):
                self._past.append(y_hat)
                self._since += 1
                return Coded(string, True, y_hat)
        y_hat = self._entropy.quantise(y)
        self._past.restart(y_hat)
        self._since = 1
        return Coded(key, False, y_hat)


class SequenceDecoder:
    """Decodes latents one after another.

    Args:
        entropy: The hyperprior, or the part of it that a decoder needs.
        prior: The temporal prior.
    """

    def __init__(self, entropy: Hyperprior, prior: TemporalPrior) -> None:
        self._entropy, self._prior = entropy, prior
        self._past = Past()

    def decode(self, string: bytes, predicted: bool, z_shape: tuple[int, int]) -> Tensor:
        """Decode the next latent, float [1, M, h, w].

        Args:
            string: See :class:`Coded`.
            predicted: Likewise.
            z_shape: Height and width of z.

        Raises:
            BitstreamError: If the string is damaged, or predicted without a picture before it.
        """
        if not predicted:
            y_hat = self._entropy.decompress([string], z_shape)
            self._past.restart(y_hat)
            return y_hat
        if not self._past:
            raise BitstreamError("a predicted picture needs a key picture before it")
        y_hat = self._prior.decompress([string], self._past.latents, self._entropy)
        self._past.append(y_hat)
        return y_hat

    def forget(self) -> None:
        """Lose the latents before, as after a damaged picture."""
        self._past = Past()
