"""Codecs with a context model, whose tables also depend on the symbols decoded before.

In floating point, the first mean or scale that two machines compute differently would corrupt the
rest of a picture. Here everything that selects a table is computed on integers. Whole diagonals
of positions are decoded at once, not one position after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from compressai.layers import MaskedConv2d
from compressai.models import JointAutoregressiveHierarchicalPriors
from compressai.models.base import CompressionModel
from torch import Tensor, nn
from torch.nn.utils import skip_init

from vcm_mt.bitstream import rans
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.integer import IntegerSynthesis

#: Reach of the context: 2 columns to the left, and 2 rows up with 2 columns to both sides.
REACH = 2
_KERNEL = 2 * REACH + 1
_SEEN = _KERNEL**2 // 2  # in raster order the first 12 positions of the 5x5 kernel

#: Index that selects the positions of a wavefront from [B, C, h, w], as [B, C, n].
Front = tuple[slice, slice, Tensor, Tensor]
#: Returns the symbols [B, M, n] of a wavefront from its scales and means, each [B, M, n].
Coder = Callable[[Front, Tensor, Tensor], Tensor]


def entropy_model(codec: CompressionModel, quantizer: str = "noise") -> Hyperprior:
    """Build the entropy model of a codec; see :class:`Hyperprior` for arguments and errors."""
    autoregressive = isinstance(codec, JointAutoregressiveHierarchicalPriors)
    return (ContextHyperprior if autoregressive else Hyperprior)(codec, quantizer)


class ContextHyperprior(Hyperprior):
    """The entropy model of an autoregressive codec with a hyperprior.

    .. code-block:: none

        y --+--> h_a --> z --> EB --> z_hat --> h_s --+--> EP --> scales, means
            |                                         |              |
            |           y_hat (decoded so far) --> CP                |
            |                                                        |
            +-----------------------> GC <---------------------------+ --> y_hat, bits

    CP is the context prediction, a masked convolution, and EP the network of the entropy
    parameters (Minnen et al. 2018, Cheng et al. 2020).

    Each mean depends on the y_hat decoded before it, which depend on their own means. Evaluation,
    coding and training with the quantizer ``round`` follow that order, see :func:`sweep`. Training
    with ``noise`` or ``ste`` uses y with noise as the context of all positions at once.

    Args:
        codec: CompressAI's ``mbt2018``, ``cheng2020-anchor``, ``cheng2020-attn`` or the like.
        quantizer: See :data:`vcm_mt.bitstream.entropy.QUANTIZERS`.

    Raises:
        ConfigError: For another model, or one whose context is not the first 12 positions of a
            5x5 kernel in raster order.
    """

    _narrow = False  # h_s takes a small part of the time here, and errors in means propagate

    def __init__(self, codec: CompressionModel, quantizer: str = "noise") -> None:
        super().__init__(codec, quantizer)
        self.context_prediction = codec.context_prediction
        self.entropy_parameters = codec.entropy_parameters
        self.integer_context = IntegerSynthesis(
            _stacked(codec.context_prediction), "context_prediction"
        )
        self.integer_parameters = IntegerSynthesis(codec.entropy_parameters, "entropy_parameters")

    @staticmethod
    def _takes(codec: CompressionModel) -> bool:
        if not isinstance(codec, JointAutoregressiveHierarchicalPriors):
            return False
        mask = codec.context_prediction.mask[0, 0].cpu()
        before = torch.arange(_KERNEL**2).view(_KERNEL, _KERNEL) < _SEEN
        return torch.equal(mask, before.to(mask))

    def _likelihoods(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        z_hat, z_likelihoods = self.entropy_bottleneck(z)
        hyper = self.h_s(z_hat).float()
        gaussian = self.gaussian_conditional
        y_hat = gaussian.quantize(y, "noise") if self.training else self._sent(y, hyper)
        scales, means = self._in_context(hyper, y_hat)
        _, y_likelihoods = gaussian(y, scales, means)
        return y_hat, y_likelihoods, z_likelihoods, means

    def _rounded_y(self, y: Tensor, z_hat: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        hyper = self.h_s(z_hat).float()
        y_hat = y + (self._sent(y, hyper) - y).detach()
        return y_hat, *self._in_context(hyper, y_hat)

    def _in_context(self, hyper: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of all positions at once, for a known y_hat."""
        context = self.context_prediction(y_hat)
        parameters = self.entropy_parameters(torch.cat((hyper, context), 1))
        scales, means = parameters.float().chunk(2, 1)
        return scales, means

    @torch.no_grad()
    def _sent(self, y: Tensor, hyper: Tensor) -> Tensor:
        """y_hat as coding would produce it, up to rounding of floating point."""
        context = _stacked(self.context_prediction)
        return sweep(hyper, context, self.entropy_parameters, partial(_symbols_of, y))

    @torch.no_grad()
    def update_tables(self) -> None:
        """Build the CDF tables and integer weights from the current parameters."""
        # The optimiser changes masked weights, and the next forward pass sets them to 0. Setting
        # them to 0 here keeps the fingerprint the same before and after that pass.
        self.context_prediction.weight.mul_(self.context_prediction.mask)
        super().update_tables()
        self.integer_context.build(_stacked(self.context_prediction))
        self.integer_parameters.build(self.entropy_parameters)

    @torch.no_grad()
    def quantise(self, y: Tensor) -> Tensor:
        """The result of :meth:`compress` and :meth:`decompress`, without the strings.

        Raises:
            BitstreamError: As :meth:`compress`.
        """
        self._require_tables()
        return self._in_integers(self._z_symbols(y), partial(_symbols_of, y.float()))

    def _symbols(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Symbols of z and of y, and table indexes of y; those of y in the order of the sweep."""
        z, y = self._z_symbols(y), y.float()
        symbols, tables = [], []

        def note(front: Front, scales: Tensor, means: Tensor) -> Tensor:
            own = _symbols_of(y, front, scales, means)
            symbols.append(own.flatten(1))
            tables.append(self.y_tables(scales).flatten(1))
            return own

        self._in_integers(z, note)
        return z, torch.cat(symbols, 1), torch.cat(tables, 1), None

    def _decompress_y(self, decoders: Sequence[rans.Decoder], z_symbols: Tensor) -> Tensor:
        def take(front: Front, scales: Tensor, means: Tensor) -> Tensor:  # noqa: ARG001
            tables = self.y_tables(scales).flatten(1).cpu().numpy()
            symbols = [decoder.take(row) for decoder, row in zip(decoders, tables, strict=True)]
            return torch.from_numpy(np.stack(symbols)).to(means).view(means.shape)

        return self._in_integers(z_symbols, take)

    def _in_integers(self, z_symbols: Tensor, coder: Coder) -> Tensor:
        """y_hat, float [B, M, h, w], bit-identical on every machine for the same symbols."""
        hyper = self.integer_h_s(z_symbols.double() + self._medians().double())
        return sweep(hyper, self.integer_context, self.integer_parameters, coder).float()


def sweep(hyper: Tensor, context: nn.Module, parameters: nn.Module, coder: Coder) -> Tensor:
    """Visit the positions of a latent, each after those in its context.

    Args:
        hyper: The output of ``h_s``, [B, 2 M, h, w].
        context: The context prediction from :func:`_stacked`, on floats or integers.
        parameters: The network of the entropy parameters, on floats or integers.
        coder: Called for the symbols of each wavefront.

    Returns:
        y_hat = symbols + means, [B, M, h, w], in the dtype of ``hyper``.
    """
    batch, channels, height, width = hyper.shape
    y_hat = hyper.new_zeros(batch, channels // 2, height + REACH, width + 2 * REACH)
    seen = torch.arange(_SEEN, device=hyper.device)[:, None]
    down, right = seen // _KERNEL, seen % _KERNEL
    for rows, columns in wavefronts(height, width):
        rows, columns = rows.to(hyper.device), columns.to(hyper.device)
        front: Front = (slice(None), slice(None), rows, columns)
        near = y_hat[:, :, rows + down, columns + right].flatten(1, 2)
        known = torch.cat((hyper[front], context(near[..., None])[..., 0]), 1)
        scales, means = parameters(known[..., None])[..., 0].chunk(2, 1)
        y_hat[:, :, rows + REACH, columns + REACH] = coder(front, scales, means) + means
    return y_hat[:, :, REACH:, REACH:-REACH]


def wavefronts(height: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and columns [n] of positions that can be coded at once, in the order of the stream.

    A position depends on two columns to its right in the row above. So positions with the same
    3 row + column are independent of each other, and depend on smaller values only: there are
    ``width + 3 (height - 1)`` steps instead of ``width * height``.
    """
    delay = REACH + 1
    for step in range(width + delay * (height - 1)):
        first = max(0, -(-(step - width + 1) // delay))
        rows = torch.arange(first, min(height - 1, step // delay) + 1)
        if len(rows):
            yield rows, step - delay * rows


def _symbols_of(y: Tensor, front: Front, scales: Tensor, means: Tensor) -> Tensor:  # noqa: ARG001
    return (y[front] - means).round()


def _stacked(masked: MaskedConv2d) -> nn.Conv2d:
    """The masked convolution as a 1x1 convolution over the 12 positions that it sees.

    Its input is [B, M * 12, n, 1]: the 12 positions of the first channel, then of the second, ...
    """
    seen = masked.weight.detach().flatten(2)[..., :_SEEN].flatten(1)
    layer = skip_init(nn.Conv2d, seen.shape[1], len(seen), 1)  # no random numbers are drawn
    layer.weight = nn.Parameter(seen[..., None, None], requires_grad=False)
    layer.bias = masked.bias
    return layer
