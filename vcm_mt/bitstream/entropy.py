"""Latents <-> strings: the hyperprior, which determines how many bits a latent takes.

Everything here belongs to theta_e, the transmitter's parameters, including the hyper-synthesis
``h_s``: a decoder that computes other scales than the encoder decodes other symbols.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from compressai.models import (
    JointAutoregressiveHierarchicalPriors,
    MeanScaleHyperprior,
    ScaleHyperprior,
)
from compressai.models.base import CompressionModel, get_scale_table
from compressai.models.utils import update_registered_buffers
from torch import Tensor, nn

from vcm_mt.bitstream import rans
from vcm_mt.bitstream.compact import build_integers
from vcm_mt.bitstream.integer import IntegerSynthesis
from vcm_mt.bitstream.rans import Ints, Tables
from vcm_mt.bitstream.symbols import in_threads, require_symbols, rows, tables_of
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.structures import Latent

#: Quantisation during training. ``noise``: decoder and rate see uniform noise instead of rounding
#: (Balle et al. 2017). ``ste``: the decoder sees y rounded with a straight-through gradient, the
#: rate is computed with noise (Minnen & Singh 2020). ``round``: y and z are rounded, and the rate
#: is that of the rounded values. With noise every value costs bits; with rounding a value that
#: rounds to its mean costs nearly none, and at low rates that is most of them. A codec that starts
#: from trained weights learns faster with ``round`` there.
QUANTIZERS = ("noise", "ste", "round")

_TABLES = ("_quantized_cdf", "_offset", "_cdf_length")
_DECODER = (*_TABLES, "quantiles", "scale_table")


class Hyperprior(nn.Module):
    """The entropy model of a codec with a scale or mean-scale hyperprior.

    .. code-block:: none

        y --+--> h_a --> z --> EB --> z_hat --> h_s --> scales, means
            |                                              |
            +------------------> GC <----------------------+ --> y_hat, bits

    EB is the entropy bottleneck, GC the Gaussian conditional (Balle et al. 2018, Minnen
    et al. 2018). The modules are CompressAI's, under the same names.

    Args:
        codec: The CompressAI model whose modules are used.
        quantizer: One of :data:`QUANTIZERS`.

    Attributes:
        divisor: Downsampling factor from the picture to z, in pixels.

    Raises:
        ConfigError: If the model has no hyperprior, or also a context model; see
            :func:`vcm_mt.bitstream.context.entropy_model`.
    """

    #: Whether ``h_s`` uses weights of 8 bits for coding.
    _narrow = True

    def __init__(self, codec: CompressionModel, quantizer: str = "noise") -> None:
        super().__init__()
        if not self._takes(codec):
            raise ConfigError(
                f"{type(self).__name__} does not support {type(codec).__name__}: "
                "use bmshj2018-hyperprior, mbt2018-mean, mbt2018, cheng2020-anchor, "
                "cheng2020-attn or a class derived from theirs with the same context model"
            )
        if quantizer not in QUANTIZERS:
            raise ConfigError(f"quantizer must be one of {QUANTIZERS}, not {quantizer!r}")
        self.quantizer = quantizer
        self.has_means = isinstance(codec, MeanScaleHyperprior)
        self.divisor = int(codec.downsampling_factor * getattr(codec, "downscale", 1))
        self.h_a = codec.h_a
        self.h_s = codec.h_s
        self.entropy_bottleneck = codec.entropy_bottleneck
        self.gaussian_conditional = codec.gaussian_conditional
        self.integer_h_s = IntegerSynthesis(codec.h_s)
        self._joined: Tables | None = None

    @staticmethod
    def _takes(codec: CompressionModel) -> bool:
        autoregressive = isinstance(codec, JointAutoregressiveHierarchicalPriors)
        return isinstance(codec, ScaleHyperprior) and not autoregressive

    def forward(self, y: Tensor) -> Latent:
        """Quantise ``y`` [B, M, h, w] and estimate its rate.

        In training mode :attr:`quantizer` decides how; in eval mode y and z are rounded.
        """
        z = self._analyse(y).float()
        # Likelihoods need float32. Noise is drawn in the order of memory: contiguous, so that a
        # seed gives the same noise in every memory format.
        y = y.float().contiguous()
        if self.training and self.quantizer == "round":
            return self._rounded(y, z)
        y_hat, y_likelihoods, z_likelihoods, means = self._likelihoods(y, z)
        if self.training and self.quantizer == "ste":
            y_hat = _round_straight_through(y, means)
        return Latent(y_hat, _bits(y_likelihoods) + _bits(z_likelihoods))

    @torch.no_grad()
    def bit_map(self, y: Tensor) -> Tensor:
        """The estimated rate of ``y`` [B, M, h, w] at each position, in eval mode.

        Returns:
            float [B, h, w], in bits: those of y, and an equal share of those of z. The sum is
            the ``bits`` of :meth:`forward`.
        """
        z = self._analyse(y).float()
        _, y_likelihoods, z_likelihoods, _ = self._likelihoods(y.float(), z)
        y_bits, z_bits = (-p.log2().sum(1) for p in (y_likelihoods, z_likelihoods))
        down, right = (n // m for n, m in zip(y_bits.shape[1:], z_bits.shape[1:], strict=True))
        spread = z_bits.repeat_interleave(down, 1).repeat_interleave(right, 2)
        return y_bits + spread / (down * right)

    def _likelihoods(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """y_hat, the likelihoods of y, the likelihoods of z, and the means of y."""
        z_hat, z_likelihoods = self.entropy_bottleneck(z)
        scales, means = self._synthesise(z_hat)
        y_hat, y_likelihoods = self.gaussian_conditional(y, scales, means)
        return y_hat, y_likelihoods, z_likelihoods, means

    def _rounded(self, y: Tensor, z: Tensor) -> Latent:
        """Rounded latents with a straight-through gradient; CompressAI's rounding has none."""
        z_hat = _round_straight_through(z, self._medians())
        factorized = self.entropy_bottleneck
        columns = z_hat.transpose(0, 1)
        likelihoods, *_ = factorized._likelihood(columns.flatten(1)[:, None])
        z_likelihoods = likelihoods.view(columns.shape).transpose(0, 1)
        y_hat, scales, means = self._rounded_y(y, z_hat)
        z_bits = _bits(factorized.likelihood_lower_bound(z_likelihoods))
        return Latent(y_hat, self.y_bits(y_hat, scales, means) + z_bits)

    def y_bits(self, y_hat: Tensor, scales: Tensor, means: Tensor | None) -> Tensor:
        """The bits of each rounded y_hat [B, M, h, w], float [B]."""
        likelihoods = self.gaussian_conditional._likelihood(y_hat, scales, means)
        return _bits(self.gaussian_conditional.likelihood_lower_bound(likelihoods))

    def _rounded_y(self, y: Tensor, z_hat: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rounded y_hat with a straight-through gradient, its scales and its means."""
        scales, means = self._synthesise(z_hat)
        return _round_straight_through(y, means), scales, means

    def rounded(self, y: Tensor) -> Latent:
        """Round ``y`` [B, M, h, w] as coding does, with a straight-through gradient."""
        return self._rounded(y.float().contiguous(), self._analyse(y).float())

    def aux_loss(self) -> Tensor:
        """The loss that trains the quantiles of the entropy bottleneck."""
        return self.entropy_bottleneck.loss()

    @torch.no_grad()
    def update_tables(self) -> None:
        """Build the CDF tables and integer weights from the current parameters.

        The quantiles that bound the tables are solved for here: the auxiliary optimiser may not
        have converged yet.
        """
        self.entropy_bottleneck.update(force=True, update_quantiles=True)
        self.gaussian_conditional.update_scale_table(get_scale_table(), force=True)
        self.integer_h_s.build(self.h_s, self.gaussian_conditional.scale_table, self._narrow)
        self._joined = None

    @property
    def has_tables(self) -> bool:
        """Whether CDF tables and integer weights have been built or loaded."""
        # Checkpoints of CompressAI have CDF tables but no integer weights.
        parts = (self.entropy_bottleneck._quantized_cdf, self.integer_h_s.thresholds)
        return all(part.numel() > 0 for part in parts)

    @torch.no_grad()
    def compress(self, y: Tensor) -> list[bytes]:
        """Encode latents ``y`` [B, M, h, w] to one string each: symbols of z, then of y.

        Raises:
            BitstreamError: If there are no CDF tables yet, or a value is not finite or too large.
        """
        tables = self.tables
        z, y, y_tables, _ = self._symbols(y)
        z_tables = np.broadcast_to(self._z_tables(z.shape[-2:]), (len(z), z[0].numel()))
        symbols = np.concatenate([rows(z), rows(y)], axis=1)
        numbers = np.concatenate([z_tables, rows(y_tables)], axis=1)
        return in_threads(rans.encode, symbols, numbers, [tables] * len(z))

    @torch.no_grad()
    def quantise(self, y: Tensor) -> Tensor:
        """The result of :meth:`compress` and :meth:`decompress`, without the strings.

        Raises:
            BitstreamError: As :meth:`compress`.
        """
        self._require_tables()
        _, symbols, _, means = self._symbols(y)
        return symbols if means is None else symbols + means

    def _symbols(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Symbols of z and of y, and the table indexes and means of y."""
        z = self._z_symbols(y)
        tables, means = self._parameters_of(z)
        y = y.float()
        return z, y.round() if means is None else (y - means).round_(), tables, means

    def _z_symbols(self, y: Tensor) -> Tensor:
        z = (self._analyse(y).float() - self._medians()).round()
        require_symbols(y, z)
        return z

    @torch.no_grad()
    def decompress(self, strings: Sequence[bytes], z_shape: tuple[int, int]) -> Tensor:
        """Decode latents of one size.

        Args:
            strings: The output of :meth:`compress`.
            z_shape: Height and width of z.

        Returns:
            y_hat, float [B, M, 4 * height, 4 * width].

        Raises:
            BitstreamError: If there are no CDF tables yet, or a string is damaged.
        """
        decoders = [rans.Decoder(string, self.tables) for string in strings]
        z_tables = self._z_tables(z_shape)
        z = np.stack([decoder.take(z_tables) for decoder in decoders])
        y_hat = self._decompress_y(decoders, self._like_z(z, (len(strings), -1, *z_shape)))
        for decoder in decoders:
            decoder.close()
        return y_hat

    def _decompress_y(self, decoders: Sequence[rans.Decoder], z_symbols: Tensor) -> Tensor:
        tables, means = self._parameters_of(z_symbols)
        y = np.stack(in_threads(rans.Decoder.take, decoders, rows(tables)))
        symbols = self._like_z(y, tables.shape)
        return symbols if means is None else symbols + means

    def decoder_state_dict(self) -> dict[str, Tensor]:
        """What a decoder needs: tables and integer weights, without ``h_a`` and float ``h_s``."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if name.startswith("integer_") or name.rsplit(".", 1)[-1] in _DECODER
        }

    def load_decoder_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load the result of :meth:`decoder_state_dict`.

        Raises:
            ValueError: If an entry is missing, unexpected, or of another shape.
        """
        wrong = set(self.decoder_state_dict()) ^ set(state)
        if wrong:
            raise ValueError(f"missing or unexpected: {', '.join(sorted(wrong))}")
        try:
            self.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    def _like_z(self, symbols: Ints, shape: Sequence[int]) -> Tensor:
        device = self.entropy_bottleneck.quantiles.device
        return torch.from_numpy(symbols).to(device, torch.float32).view(*shape)

    def _parameters_of(self, z_symbols: Tensor) -> tuple[Tensor, Tensor | None]:
        """Table indexes and means of y, bit-identical on every machine."""
        z_hat = z_symbols.double() + self._medians().double()
        scales, means = self._split(self.integer_h_s(z_hat))
        return self.y_tables(scales), None if means is None else means.float()

    def y_tables(self, scales: Tensor) -> Tensor:
        """Table indexes of y from its scales; its tables follow those of z."""
        return self.integer_h_s.indexes(scales) + len(self.entropy_bottleneck.quantiles)

    def _medians(self) -> Tensor:
        """[1, C, 1, 1], the offsets around which the entropy bottleneck rounds."""
        return self.entropy_bottleneck.quantiles[:, 0, 1].detach().float().view(1, -1, 1, 1)

    def _z_tables(self, shape: Sequence[int]) -> Ints:
        """Table indexes of z: one table per channel."""
        channels = len(self.entropy_bottleneck.quantiles)
        return np.repeat(np.arange(channels, dtype=np.int32), math.prod(shape))

    @property
    def tables(self) -> Tables:
        """The entropy bottleneck's tables, then the Gaussian conditional's."""
        self._require_tables()
        if self._joined is None:
            parts = (self.entropy_bottleneck, self.gaussian_conditional)
            self._joined = Tables.joined(*map(tables_of, parts))
        return self._joined

    def _analyse(self, y: Tensor) -> Tensor:
        return self.h_a(y if self.has_means else y.abs())

    def _synthesise(self, z_hat: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._split(self.h_s(z_hat).float())

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_means:
            return parameters, None
        scales, means = parameters.chunk(2, 1)
        return scales, means

    def _require_tables(self) -> None:
        if not self.has_tables:
            raise BitstreamError(
                "the transmitter has no entropy tables: call update_tables() after training, "
                "or load a checkpoint that holds them"
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # CompressAI resizes its tables only in load_state_dict of a whole codec.
        for name, tables in (
            ("entropy_bottleneck", _TABLES),
            ("gaussian_conditional", (*_TABLES, "scale_table")),
        ):
            if f"{prefix}{name}._quantized_cdf" in state_dict:
                update_registered_buffers(
                    getattr(self, name), prefix + name, tables, state_dict, policy="resize"
                )
        build_integers(state_dict, prefix, self.h_s, self._narrow)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._joined = None


def _bits(likelihoods: Tensor) -> Tensor:
    """Sum of -log2 of the likelihoods of each picture: [B, C, h, w] -> [B]."""
    return -likelihoods.float().log2().sum(dim=(1, 2, 3))


def _round_straight_through(y: Tensor, means: Tensor | None) -> Tensor:
    rounded = torch.round(y) if means is None else torch.round(y - means) + means
    return y + (rounded - y).detach()
