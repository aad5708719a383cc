"""The entropy model's networks on integers: encoder and decoder compute identical parameters.

If the decoder uses another table than the encoder for a single symbol, all later symbols are
wrong, and in floating point another order of summation is enough for that. Here weights,
activations and sums are integers stored in float64: as long as no partial sum reaches 2^53, every
order of summation on every device gives the same bits. Balle, Johnston & Minnen (2019) train such
networks; here the trained weights are rounded, which costs nearly no rate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vcm_mt.bitstream.products import EXACT, InBytes, Tiled, Winograd, narrowed, shuffled
from vcm_mt.errors import ConfigError

#: Fractional bits of weights and of activations.
WEIGHT_BITS = 16
ACTIVATION_BITS = 12
#: Activations are clamped to +-2^27, that is +-32768 in units of y.
LARGEST = float(1 << 27)

Pair = tuple[int, int]

_ACCUMULATOR_BITS = WEIGHT_BITS + ACTIVATION_BITS
_HALF = torch.tensor(0.5, dtype=torch.float64)


class IntegerSynthesis(nn.Module):
    """A hyper-synthesis ``h_s``, or a network after it, on integers.

    Args:
        h_s: A network of convolutions and transposed convolutions, each optionally followed by a
            PixelShuffle and by a ReLU or LeakyReLU.
        name: Its name in error messages.

    Raises:
        ConfigError: If it has any other layer.
    """

    def __init__(self, h_s: nn.Module, name: str = "h_s") -> None:
        super().__init__()
        self.name = name
        self.layers = nn.ModuleList(_integer_layers(_parts(h_s), name))
        self.register_buffer("thresholds", torch.zeros(0, dtype=torch.int64))

    @torch.no_grad()
    def build(
        self, h_s: nn.Module, scale_table: Tensor | None = None, narrow: bool = False
    ) -> None:
        """Round the current weights of a network to integers.

        Args:
            h_s: The network, with the layers that the constructor got.
            scale_table: The scales for :meth:`indexes`.
            narrow: Round the weights of 3x3 convolutions, and of those that can be written as
                3x3 convolutions, to 8 bits, so that :class:`InBytes` can be used.

        Raises:
            ConfigError: If a sum could reach 2^53, the end of float64's exact integers.
        """
        layers = [m for m in h_s.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        for number, (own, layer) in enumerate(zip(self.layers, layers, strict=True)):
            own.build(layer, narrow)  # type: ignore[operator]
            if own.largest_sum() >= EXACT:  # type: ignore[operator]
                raise ConfigError(
                    f"the weights of layer {number} of {self.name} are so large that its sums "
                    "could exceed 2^53, and would not be exact: train with weight decay, or lower "
                    "the learning rate"
                )
        if scale_table is not None:
            thresholds = (scale_table[:-1].double() * 2**_ACCUMULATOR_BITS).floor()
            self.thresholds = thresholds.to(torch.int64)

    @torch.no_grad()
    def forward(self, z_hat: Tensor) -> Tensor:
        """Apply the network, with bit-identical results on every machine.

        Args:
            z_hat: float64 [B, C, h, w]; it is rounded to ACTIVATION_BITS fractional bits.

        Returns:
            float64 [B, out, H, W].
        """
        x = (z_hat * 2**ACTIVATION_BITS).round().clamp(-LARGEST, LARGEST)
        x = x.permute(0, 2, 3, 1)  # channels last: a kernel position is a shift of rows
        for layer in self.layers[:-1]:
            x = layer.activate(layer.sums(x))  # type: ignore[operator]
        sums: Tensor = self.layers[-1].sums(x)  # type: ignore[operator]
        return (sums / 2**_ACCUMULATOR_BITS).permute(0, 3, 1, 2)

    def indexes(self, scales: Tensor) -> Tensor:
        """Indexes, int32, of the first entry of the scale table that is not below each scale."""
        sums = (scales * 2**_ACCUMULATOR_BITS).contiguous()
        return torch.bucketize(sums, self.thresholds.double(), out_int32=True)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        _take_sizes(self, ("thresholds",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class _IntegerConv(nn.Module):
    """A convolution or transposed convolution on integers, with its PixelShuffle and activation."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.transposed = isinstance(layer, nn.ConvTranspose2d)
        self.kernel = cast("Pair", layer.kernel_size)
        self.stride, self.padding = cast("Pair", layer.stride), cast("Pair", layer.padding)
        self.output_padding = cast("Pair", layer.output_padding)
        self.upscale = 1
        self.slope: int | None = None
        self._doubles: tuple[Tensor, dict[Pair, Tensor], Tensor] | None = None
        self._fast_ways: tuple[Tensor | None, dict[type, Any]] = (None, {})
        self.register_buffer("weight", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("bias", torch.zeros(0, dtype=torch.int64))

    def build(self, layer: nn.Conv2d | nn.ConvTranspose2d, narrow: bool) -> None:
        weight = layer.weight.double()
        weight = weight.transpose(0, 1) if self.transposed else weight
        weight = (weight * 2**WEIGHT_BITS).round()
        if narrow and (self._is_3x3() or self._has_3x3_phases()):
            weight = narrowed(weight, self.stride)
        self.weight = weight.to(torch.int32).contiguous()
        exact = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
        self.bias = (exact.double() * 2**_ACCUMULATOR_BITS).round().to(torch.int64)

    def largest_sum(self) -> float:
        """An upper bound of every partial sum, for inputs within +-LARGEST."""
        total = self.weight.double().abs().sum(dim=(1, 2, 3)) * LARGEST
        return float((total + self.bias.double().abs()).max())

    def follow(self, layer: nn.Module) -> bool:
        """Absorb the next layer; ``False`` if that is not possible."""
        if isinstance(layer, nn.PixelShuffle) and self.upscale == 1:
            self.upscale = layer.upscale_factor
        elif isinstance(layer, nn.ReLU | nn.LeakyReLU) and self.slope is None:
            slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
            self.slope = round(slope * 2**WEIGHT_BITS)
        else:
            return False
        return True

    def sums(self, x: Tensor) -> Tensor:
        """Sums with WEIGHT_BITS + ACTIVATION_BITS fractional bits, [B, H, W, channels]."""
        return shuffled(self._convolved(x), self.upscale)

    def _convolved(self, x: Tensor) -> Tensor:
        taps, bias = self._in_doubles()
        size = self._out_size(x.shape[1:3])
        (step_y, step_x), (pad_y, pad_x) = self.stride, self.padding
        if self._is_3x3() or self._has_3x3_phases():
            largest = float(torch.stack(x.aminmax()).abs().max())
            ways = (way for way in self._faster() if way.takes(x, largest))
            if (way := next(ways, None)) is not None:
                padding = (1, 1) if self.transposed else self.padding
                return way.sums(x, largest, bias, padding, size)
        if not self.transposed:
            grid = F.pad(x, (0, 0, pad_x, pad_x, pad_y, pad_y))
            dense = _correlate(grid, taps, bias)
            return dense[:, : size[0] * step_y : step_y, : size[1] * step_x : step_x]
        # Each phase of the output, its position modulo the stride, is a convolution of its own.
        shape = zip(x.shape[1:3], size, self.kernel, self.stride, self.padding, strict=True)
        (before_y, behind_y), (before_x, behind_x) = (_reach(*axis) for axis in shape)
        grid = F.pad(x, (0, 0, before_x, behind_x, before_y, behind_y))
        out = x.new_empty(len(x), *size, len(bias))
        for first_y, first_x in itertools.product(range(step_y), range(step_x)):
            part = out[:, first_y::step_y, first_x::step_x]
            y, x_ = first_y + pad_y, first_x + pad_x
            near = {
                (before_y + (y - row) // step_y, before_x + (x_ - column) // step_x): tap
                for (row, column), tap in taps.items()
                if (y - row) % step_y == 0 and (x_ - column) % step_x == 0
            }
            part.copy_(_correlate(grid, near, bias)[:, : part.shape[1], : part.shape[2]])
        return out

    def _out_size(self, size: Sequence[int]) -> Pair:
        rules = zip(size, self.kernel, self.stride, self.padding, self.output_padding, strict=True)
        if self.transposed:
            rows, columns = ((n - 1) * s - 2 * p + k + extra for n, k, s, p, extra in rules)
        else:
            rows, columns = ((n + 2 * p - k) // s + 1 for n, k, s, p, _ in rules)
        return rows, columns

    def _is_3x3(self) -> bool:
        return not self.transposed and (self.kernel, self.stride) == ((3, 3), (1, 1))

    def _has_3x3_phases(self) -> bool:
        """Whether each phase has 3x3 taps at most, as in CompressAI's ``deconv``."""
        sizes = (self.kernel, self.stride, self.padding, self.output_padding)
        return self.transposed and sizes == ((5, 5), (2, 2), (2, 2), (1, 1))

    def _in_doubles(self) -> tuple[dict[Pair, Tensor], Tensor]:
        """Matrices [in, out] by kernel position, and the bias; cached until the weights change."""
        if self._doubles is None or self._doubles[0] is not self.weight:
            matrices = self.weight.double().permute(2, 3, 1, 0).contiguous()
            places = itertools.product(*map(range, self.kernel))
            taps = {(row, column): matrices[row, column] for row, column in places}
            self._doubles = (self.weight, taps, self.bias.double())
        return self._doubles[1:]

    def _faster(self) -> Iterator[InBytes | Tiled | Winograd]:
        """Faster ways to compute the same sums, the fastest first; built on demand and cached."""
        if self._fast_ways[0] is not self.weight:
            self._fast_ways = (self.weight, {})
        for kind in (InBytes, Tiled, Winograd):
            if kind is Tiled and not (self.transposed or self.padding == (1, 1)):
                continue
            if kind not in self._fast_ways[1]:
                self._fast_ways[1][kind] = kind(self.weight.double(), self.transposed)
            yield self._fast_ways[1][kind]

    def activate(self, sums: Tensor) -> Tensor:
        """Apply the activation, and round to ACTIVATION_BITS."""
        x = _rounded(sums, 2.0**-WEIGHT_BITS).clamp_(-LARGEST, LARGEST)
        if self.slope is None:
            return x
        other = _rounded(x, self.slope * 2.0**-WEIGHT_BITS)
        return (torch.maximum if self.slope <= 2**WEIGHT_BITS else torch.minimum)(x, other)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        _take_sizes(self, ("weight", "bias"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _reach(size: int, out: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """The positions that a transposed convolution reads before and after its input."""
    taps = [
        (first + padding - tap) // stride
        for first in range(stride)
        for tap in range(kernel)
        if (first + padding - tap) % stride == 0
    ]
    return max(0, -min(taps)), max(0, max(taps) + -(-out // stride) - size)


def _correlate(grid: Tensor, taps: Mapping[Pair, Tensor], bias: Tensor) -> Tensor:
    """Sum of ``grid[:, y + row, x + column] @ tap``, as matrix products without a copy.

    Values at the right and lower border, where the sum is incomplete, are undefined.
    """
    width = grid.shape[2]
    rows = grid.flatten(0, 2)
    out = bias.repeat(len(rows), 1)
    count = len(rows) - max((row * width + column for row, column in taps), default=0)
    for (row, column), tap in taps.items():
        start = row * width + column
        out[:count].addmm_(rows[start : start + count], tap)
    return out.view(*grid.shape[:3], -1)


def _rounded(x: Tensor, factor: float) -> Tensor:
    """Multiply by a fraction of 2^WEIGHT_BITS, and round half up."""
    return torch.add(_HALF, x, alpha=factor).floor_()


def _take_sizes(
    module: nn.Module, names: tuple[str, ...], state: dict[str, Any], prefix: str
) -> None:
    """Give buffers the size that they have in ``state``; they are empty until they are built."""
    for name in names:
        if prefix + name in state:
            setattr(module, name, getattr(module, name).new_empty(state[prefix + name].shape))


def _parts(layer: nn.Module) -> list[nn.Module]:
    if isinstance(layer, nn.Sequential):
        return [inner for part in layer for inner in _parts(part)]
    return [layer]


def _integer_layers(parts: list[nn.Module], name: str) -> list[_IntegerConv]:
    layers: list[_IntegerConv] = []
    for part in parts:
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            if part.groups != 1 or set(part.dilation) != {1} or isinstance(part.padding, str):
                raise ConfigError(
                    f"{name} has a convolution with groups, dilation or a padding given as a word, "
                    "which has no integer form"
                )
            layers.append(_IntegerConv(part))
        elif not layers or not layers[-1].follow(part):
            raise ConfigError(
                f"{name} has a {type(part).__name__}, which has no integer form there: use "
                "convolutions, each followed by a PixelShuffle, a ReLU or a LeakyReLU"
            )
    return layers
