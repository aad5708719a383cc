"""Codecs with a context model, whose tables also depend on what was decoded before.

In floating point such a codec loses the rest of a picture at the first mean or scale that two
machines compute differently, and it decodes place by place. Here all that decides a table is
computed on integers, and whole diagonals of places are decoded at once.
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

#: How far the context sees: 2 columns to the left, and 2 rows up with 2 columns to both sides.
REACH = 2
_KERNEL = 2 * REACH + 1
_SEEN = _KERNEL**2 // 2  # in raster order the first 12 places of the 5x5 kernel

#: Selects the places of a wavefront from [B, C, h, w], as [B, C, n].
Front = tuple[slice, slice, Tensor, Tensor]
#: Gives the symbols [B, M, n] of a wavefront from its scales and means, alike.
Coder = Callable[[Front, Tensor, Tensor], Tensor]


def entropy_model(codec: CompressionModel, quantizer: str = "noise") -> Hyperprior:
    """The entropy model that fits a codec; see :class:`Hyperprior` for arguments and errors."""
    autoregressive = isinstance(codec, JointAutoregressiveHierarchicalPriors)
    return (ContextHyperprior if autoregressive else Hyperprior)(codec, quantizer)


class ContextHyperprior(Hyperprior):
    """The entropy model of an autoregressive codec with a hyperprior.

    .. code-block:: none

        y --+--> h_a --> z --> EB --> z_hat --> h_s --+--> EP --> scales, means
            |                                         |              |
            |             y_hat (places before) --> CP               |
            |                                                        |
            +-----------------------> GC <---------------------------+ --> y_hat, bits

    CP is the context prediction, a masked convolution, and EP the network of the entropy
    parameters (Minnen et al. 2018, Cheng et al. 2020).

    A mean depends on the y_hat before it, and those on their means. Evaluation, coding and
    training with the quantizer ``round`` follow that chain, see :func:`sweep`. Training with
    ``noise`` or ``ste`` takes y with noise for the context, all places at once.

    Args:
        codec: CompressAI's ``mbt2018``, ``cheng2020-anchor``, ``cheng2020-attn`` or the like.
        quantizer: See :data:`vcm_mt.bitstream.entropy.QUANTIZERS`.

    Raises:
        ConfigError: For another model, or one whose context is not the 12 places before in
            raster order of a 5x5 kernel.
    """

    _narrow = False  # a small part of the time here, and an error in a mean goes on to the next

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
        """Scales and means of all places at once, where y_hat is known."""
        context = self.context_prediction(y_hat)
        found = self.entropy_parameters(torch.cat((hyper, context), 1))
        scales, means = found.float().chunk(2, 1)
        return scales, means

    @torch.no_grad()
    def _sent(self, y: Tensor, hyper: Tensor) -> Tensor:
        """What coding makes of y, but for the last bits of floating point."""
        context = _stacked(self.context_prediction)
        return sweep(hyper, context, self.entropy_parameters, partial(_symbols_of, y))

    @torch.no_grad()
    def update_tables(self) -> None:
        """Build the CDF tables and the integers from the present parameters."""
        # An optimiser moves weights that the mask hides, and the next forward pass clears them:
        # cleared here, they are the same before and after it, and so is the fingerprint.
        self.context_prediction.weight.mul_(self.context_prediction.mask)
        super().update_tables()
        self.integer_context.build(_stacked(self.context_prediction))
        self.integer_parameters.build(self.entropy_parameters)

    @torch.no_grad()
    def quantise(self, y: Tensor) -> Tensor:
        """What :meth:`decompress` makes of :meth:`compress`'s strings, without making them.

        Raises:
            BitstreamError: As :meth:`compress`.
        """
        self._require_tables()
        return self._in_integers(self._z_symbols(y), partial(_symbols_of, y.float()))

    def _symbols(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Symbols of z and of y, and numbers of y's tables; y's in the order of the sweep."""
        z, y = self._z_symbols(y), y.float()
        symbols, tables = [], []

        def note(front: Front, scales: Tensor, means: Tensor) -> Tensor:
            found = _symbols_of(y, front, scales, means)
            symbols.append(found.flatten(1))
            tables.append(self._y_tables(scales).flatten(1))
            return found

        self._in_integers(z, note)
        return z, torch.cat(symbols, 1), torch.cat(tables, 1), None

    def _decompress_y(self, decoders: Sequence[rans.Decoder], z_symbols: Tensor) -> Tensor:
        def take(front: Front, scales: Tensor, means: Tensor) -> Tensor:  # noqa: ARG001
            tables = self._y_tables(scales).flatten(1).cpu().numpy()
            found = [decoder.take(row) for decoder, row in zip(decoders, tables, strict=True)]
            return torch.from_numpy(np.stack(found)).to(means).view(means.shape)

        return self._in_integers(z_symbols, take)

    def _in_integers(self, z_symbols: Tensor, coder: Coder) -> Tensor:
        """y_hat, float [B, M, h, w]: the same bits on every machine for the same symbols."""
        hyper = self.integer_h_s(z_symbols.double() + self._medians().double())
        return sweep(hyper, self.integer_context, self.integer_parameters, coder).float()


def sweep(hyper: Tensor, context: nn.Module, parameters: nn.Module, coder: Coder) -> Tensor:
    """Go through a latent's places, each after those that its context sees.

    Args:
        hyper: What ``h_s`` gives, [B, 2 M, h, w].
        context: The context prediction as :func:`_stacked` has it, in floats or on integers.
        parameters: The network of the entropy parameters, likewise.
        coder: Asked for the symbols of each wavefront.

    Returns:
        y_hat = symbols + means, [B, M, h, w] in the type of ``hyper``.
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
    """Rows and columns [n] of places that can be coded at once, in the order of the stream.

    Places on a row follow each other. A row starts when three places of the row above are done,
    as many as a context sees there up to its right end: then those with the same 3 row + column
    depend on smaller ones alone, and there are ``width + 3 (height - 1)`` steps in place of
    ``width * height``.
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
    """The masked convolution as one of 1x1 over the channels of the places that it sees.

    It takes [B, M * 12, n, 1], channel by channel.
    """
    seen = masked.weight.detach().flatten(2)[..., :_SEEN].flatten(1)
    layer = skip_init(nn.Conv2d, seen.shape[1], len(seen), 1)  # no random numbers are drawn
    layer.weight = nn.Parameter(seen[..., None, None], requires_grad=False)
    layer.bias = masked.bias
    return layer
