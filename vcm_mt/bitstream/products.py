"""Faster algorithms for 3x3 convolutions of integers.

Each computes exactly the integers of the direct sum: the choice affects the time only.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.numerics.winograd import MOST_CHANNELS, Tiles

#: float64 represents all integers below exactly.
EXACT = float(1 << 53)

#: Values of a strip that is processed at once, chosen to stay in the processor's cache.
_STRIP = 1 << 22

Pair = tuple[int, int]

_MOST_BYTES = 3
_INT8 = 127


class Winograd:
    """F(2x2, 3x3) of Lavin & Gray (2016) in float64: 16 products instead of 36.

    On integers it is as exact as the direct sum: its division by 4 leaves no remainder.

    Args:
        weight: Integers [out, in, 3, 3], float64, or [out, in, 5, 5] where ``transposed``.
        transposed: A transposed convolution of stride 2 to twice the size, see :func:`phases`.
    """

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        self.step = 2 if transposed else 1
        weight = phases(weight) if transposed else weight
        g = weight.new_tensor([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
        kernels = torch.einsum("ik,ockl,jl->ijco", g, weight, g).flatten(0, 1)
        self.kernels = kernels.contiguous()  # 4 G w G': integers again, [16, in, out]
        self.growth = 4 * float(kernels.abs().sum(dim=(0, 1)).max())

    def takes(self, x: Tensor, largest: float) -> bool:  # noqa: ARG002
        """Whether every sum stays below 2^53 for inputs within +-``largest``."""
        return largest * self.growth < EXACT

    def sums(
        self,
        x: Tensor,
        largest: float,  # noqa: ARG002
        bias: Tensor,
        padding: Pair,
        size: Pair,
    ) -> Tensor:
        """Convolve.

        Args:
            x: Integers [B, H, W, in], float64.
            largest: Largest magnitude in x.
            bias: [out], float64.
            padding: Zeros above and to the left of x, 1 for a transposed convolution.
            size: Height and width of the output.

        Returns:
            [B, *size, out], float64.
        """
        bias = bias.repeat_interleave(self.step**2)
        height, width = (length // self.step for length in size)
        rows, columns = (-(-length // 2) for length in (height, width))
        grid = _padded(x, padding, (2 * rows, 2 * columns))
        out = x.new_empty(len(x), 2 * rows, 2 * columns, len(bias))
        values = 16 * len(x) * columns * (x.shape[3] + len(bias))  # in a row of tiles
        for first, last in _strips(rows, values, x.is_cuda):
            part = grid[:, 2 * first : 2 * last + 2]
            self._write(part, bias, out[:, 2 * first : 2 * last])
        return shuffled(out[:, :height, :width], self.step)

    def _write(self, grid: Tensor, bias: Tensor, out: Tensor) -> None:
        """Write the sums [B, 2 H, 2 W, out] of a grid [B, 2 H + 2, 2 W + 2, in]."""
        batch, height, width, _ = out.shape
        tiles = grid.new_empty(16, batch, height // 2, width // 2, grid.shape[3])
        for i, across in enumerate(_inputs(grid, 1)):
            for j, tile in enumerate(_inputs(across, 2)):
                tiles[4 * i + j] = tile
        products = torch.bmm(tiles.flatten(1, 3), self.kernels)
        for i, across in enumerate(_outputs(products.view(4, 4, *tiles.shape[1:4], -1))):
            for j, sums in enumerate(_outputs(across)):
                out[:, i::2, j::2] = sums.div_(4).add_(bias)


class Tiled:
    """F(4x4, 3x3) in float64 on a CPU: 36 products for 16 outputs instead of 144.

    Its intermediate sums are larger than those of :class:`Winograd`; weights of 8 bits leave room
    for that.

    Args:
        weight: See :class:`Winograd`; the padding of a convolution is 1.
        transposed: See :class:`Winograd`.
    """

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        self.steps = _steps(weight)
        self.fits = max(weight.shape[:2]) <= MOST_CHANNELS
        self.tiles = Tiles(weight.cpu() / self.steps[:, None, None, None], transposed, weight.dtype)

    def takes(self, x: Tensor, largest: float) -> bool:
        """Whether every sum stays below 2^53, and the input is on a CPU."""
        return self.fits and x.device.type == "cpu" and largest * self.tiles.growth < EXACT

    def sums(
        self,
        x: Tensor,
        largest: float,  # noqa: ARG002
        bias: Tensor,
        padding: Pair,  # noqa: ARG002
        size: Pair,
    ) -> Tensor:
        """Convolve, see :meth:`Winograd.sums`."""
        out = x.new_empty(len(x), *size, len(bias))
        scale = self.steps.numpy()
        for one, result in zip(x.contiguous(), out, strict=True):
            deque(self.tiles.strips(one.numpy(), scale, bias.numpy(), result.numpy()), maxlen=0)
        return out


class InBytes:
    """Products of bytes, many times faster than float64 on a processor with VNNI.

    Inputs are split into signed bytes: two of them for a value within +-32639. The weights of a
    channel are bytes times a step, see :func:`narrowed`.

    Args:
        weight: See :class:`Winograd`.
        transposed: See :class:`Winograd`.
    """

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        self.steps = _steps(weight).to(weight)
        weight = weight / self.steps[:, None, None, None]
        #: Whether weights are bytes, and few enough for 32-bit sums.
        self.fits = float(weight.abs().max()) <= _INT8 and weight[0].numel() << 14 < 1 << 31
        self.step = 2 if transposed else 1
        kernels = phases(weight) if transposed else weight
        kernels = kernels.unflatten(0, (-1, self.step, self.step)).to(torch.int8)
        # The kernel of phase (1, 1) has no first row and no first column.
        self.matrices = {
            (row, column): kernels[:, row, column, :, row:, column:]
            .permute(2, 3, 1, 0)
            .flatten(0, 2)
            for row, column in itertools.product(range(self.step), repeat=2)
        }

    def takes(self, x: Tensor, largest: float) -> bool:
        """Whether ``largest`` has 3 bytes at most, and this processor multiplies bytes fast."""
        few = largest <= _largest_of(_MOST_BYTES)
        return self.fits and few and x.device.type == "cpu" and multiplies_bytes()

    def sums(self, x: Tensor, largest: float, bias: Tensor, padding: Pair, size: Pair) -> Tensor:
        """Convolve, see :meth:`Winograd.sums`."""
        count = next(n for n in itertools.count(1) if largest <= _largest_of(n))
        height, width = (length // self.step for length in size)
        grid = x.to(torch.int16 if count < _MOST_BYTES else torch.int32)
        grid = torch.stack(list(_bytes(_padded(grid, padding, (height, width)), count)))
        out = x.new_empty(len(x), *size, len(bias))
        for first, last in _strips(height, 9 * count * len(x) * width * x.shape[3]):
            strip = out[:, self.step * first : self.step * last]
            for (row, column), matrix in self.matrices.items():
                part = strip[:, row :: self.step, column :: self.step]
                near = _neighbours(grid[:, :, first + row : last + 2, column:], part.shape[1:3])
                products = torch._int_mm(near, matrix).view(count, *part.shape)
                sums = products[-1].double()
                for lower in products[:-1].flip(0):
                    sums = torch.add(lower, sums, alpha=256)
                torch.addcmul(bias, sums, self.steps, out=part)
        return out


def _steps(weight: Tensor) -> Tensor:
    """The greatest common divisor of the weights of each output channel, float64 [out]."""
    integers = weight.cpu().numpy().astype(np.int64)
    steps = np.gcd.reduce(integers.reshape(len(integers), -1), axis=1).clip(1)
    return torch.from_numpy(steps).double()


def narrowed(weight: Tensor, stride: Sequence[int]) -> Tensor:
    """Round weights to 8 bits: within +-127 times a step per output channel.

    The rounding error of a kernel position is carried to the next one (in a transposed
    convolution, to the next one of the same phase), so that errors cancel where neighbouring
    inputs are equal.

    Args:
        weight: Integers [out, in, height, width], float64.
        stride: Stride of a transposed convolution, 1 for a convolution.

    Returns:
        Integers [out, in, height, width], float64, multiples of the channel's step.
    """
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    steps = (largest / (_INT8 - 1)).ceil().clamp_min(1)  # a carried error may add one
    result = torch.empty_like(weight)
    for row, column in itertools.product(range(stride[0]), range(stride[1])):
        places = (..., slice(row, None, stride[0]), slice(column, None, stride[1]))
        part = weight[places] / steps
        heights = F.pad(part.flatten(2).cumsum(2).round(), (1, 0))
        result[places] = heights.diff(dim=2).view(part.shape) * steps
    return result


def multiplies_bytes() -> bool:
    """Whether products of bytes are exact and fast on this processor, as PyTorch is set."""
    fast = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return fast and bool(torch.backends.mkldnn.enabled) and _is_exact()


@functools.cache
def _is_exact() -> bool:
    """Without VNNI, pairs of products are added in 16 bits, which overflow for large values."""
    largest = torch.full((64, 64), _INT8, dtype=torch.int8)
    exact = 64 * _INT8**2
    return all(bool((torch._int_mm(largest, s * largest) == s * exact).all()) for s in (1, -1))


def phases(weight: Tensor) -> Tensor:
    """The 3x3 kernels [4 * out, in, 3, 3] of the four phases of a transposed 5x5 convolution.

    Args:
        weight: [out, in, 5, 5], of a transposed convolution of stride 2 to twice the size.
    """
    padded = F.pad(weight, (0, 1, 0, 1)).view(*weight.shape[:2], 3, 2, 3, 2).flip(2, 4)
    return padded.permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


def shuffled(x: Tensor, factor: int) -> Tensor:
    """PixelShuffle in channels_last: [B, H, W, C * f * f] -> [B, H * f, W * f, C]."""
    if factor == 1:
        return x
    places = x.unflatten(3, (-1, factor, factor)).permute(0, 1, 4, 2, 5, 3)
    return places.flatten(3, 4).flatten(1, 2)


def _padded(x: Tensor, padding: Pair, size: Pair) -> Tensor:
    """Add zeros around [B, H, W, C], so that 3x3 kernels fit at ``size`` positions."""
    (above, left), (height, width) = padding, x.shape[1:3]
    below, right = size[0] + 2 - above - height, size[1] + 2 - left - width
    return F.pad(x, (0, 0, left, right, above, below))


def _strips(rows: int, values: int, whole: bool = False) -> Iterator[tuple[int, int]]:
    """First and last row of each strip; ``values`` is the number of values in a row."""
    step = rows if whole else max(1, _STRIP // values)
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def _largest_of(count: int) -> int:
    """The largest magnitude that ``count`` signed bytes represent."""
    return _INT8 * sum(256**n for n in range(count))


def _bytes(x: Tensor, count: int) -> Iterator[Tensor]:
    """Split integers into signed bytes b_n, the lowest first: x = sum of b_n * 256^n."""
    for _ in range(count - 1):
        low = x.to(torch.int8)  # the lowest eight bits
        yield low
        x = (x - low) >> 8
    yield x.to(torch.int8)


def _neighbours(grid: Tensor, size: Sequence[int]) -> Tensor:
    """The inputs of each of ``size`` sums over a grid [N, B, H, W, C], as rows of a matrix.

    Returns:
        [N * B * height * width, rows * columns * C], for a kernel of rows = H - height + 1 and
        columns = W - width + 1.
    """
    (height, width), channels = size, grid.shape[4]
    rows, columns = grid.shape[2] - height + 1, grid.shape[3] - width + 1
    far, near, down, right, _ = grid.stride()
    sizes = (*grid.shape[:2], height, width, rows, columns * channels)  # rows are contiguous
    places = grid.as_strided(sizes, (far, near, down, right, down, 1), grid.storage_offset())
    return places.reshape(-1, rows * columns * channels)


def _inputs(grid: Tensor, axis: int) -> tuple[Tensor, ...]:
    """The input transform along an axis: of 4 values at every second position, 4 sums."""
    a, b, c, d = grid.unfold(axis, 4, 2).unbind(-1)
    return a - c, b + c, c - b, b - d


def _outputs(products: Tensor) -> tuple[Tensor, Tensor]:
    """The output transform along an axis: of 4 products, 2 sums."""
    a, b, c, d = products
    return a + b + c, b - c - d
