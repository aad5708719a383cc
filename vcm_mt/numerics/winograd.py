"""3x3 convolutions by a quarter of their products: F(4x4, 3x3) of Lavin & Gray (2016).

A tile of 6x6 inputs is transformed to 36 values, matrix products combine the channels, and 36 sums
are transformed to 4x4 outputs. A 5x5 convolution of stride 2 has four phases of its input
(positions modulo 2), and a transposed one four phases of its output, each of at most 3x3 taps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.numerics.scratch import scratch
from vcm_mt.numerics.threads import in_threads

#: Largest number of channels; and the distance of lines of channels in a kernel's memory. That is
#: not a multiple of 4 KiB, with which lines would share the same few cache sets.
MOST_CHANNELS = 512
_LINE = MOST_CHANNELS + 16
#: Approximate number of tiles that are processed together, so that they stay in the cache.
_TILES = 160
#: Kernels are transformed with integers and sums are divided by this, so that integers stay exact.
DIVISOR = 24**2
#: The kernel's transform times 24; the input's and the output's are :func:`_six` and :func:`_four`.
_G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
#: How much the input and output transforms together can enlarge a value, per output and tap.
_GROWTH = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, 1, 2, 2, 0], [0, 1, 1, 4, 4, 0], [0, 1, 1, 8, 8, 1]]
) * torch.tensor([10, 10, 10, 6, 6, 10], dtype=torch.float64)
#: The four kinds among the 36 products, and the phases that each kind needs.
_KINDS = (slice(0, 25), slice(25, 30), slice(30, 35), slice(35, 36))
_NEEDED = ([0, 1, 2, 3], [0, 1], [0, 2], [0])


class Tiles:
    """A convolution with transformed kernels that is computed tile by tile.

    A phase with two taps along an axis instead of three needs only five of the six values there:
    the 36 matrix products are of four kinds, over 4, 2, 2 and 1 phases.

    Args:
        weight: float64 [out, in, 3, 3] for a convolution of padding 1; [out, in, 5, 5] for one of
            stride 2 and padding 2, or a transposed one to twice the size.
        transposed: Whether the convolution is transposed.
        dtype: float32 or float64, the dtype of the computation. In float64 integers are exact if
            :attr:`growth` times the largest input is below 2^53.
    """

    def __init__(self, weight: Tensor, transposed: bool, dtype: torch.dtype) -> None:
        strided = weight.shape[-1] == 5
        #: Phases on an axis of the input, and of the output.
        self.phases = (1, 2) if transposed else (2 if strided else 1, 1)
        self._planes = _planes(transposed)
        # [in, out, taps]. Correlations: the taps of a transposed one run backwards.
        weight = weight.transpose(0, 1)
        if transposed:
            weight = F.pad(weight.flip(2, 3), (1, 0, 1, 0))
        elif strided:
            weight = F.pad(weight, (0, 1, 0, 1))
        g = torch.tensor(_G, dtype=torch.float64)
        parts = []
        for down, right in itertools.product(range(max(self.phases)), repeat=2):
            y, x = (1 - down, 1 - right) if transposed else (down, right)
            taps = weight[:, :, y :: max(self.phases), x :: max(self.phases)]
            parts.append(torch.einsum("ik,abkl,jl->ijab", g, taps, g).flatten(0, 1))
        order = np.argsort(self._planes.ravel())
        by_plane = torch.stack([part[order] for part in parts], 1)  # [36, phases, in, out]
        kinds: Sequence[Any] = list(zip(_KINDS, _NEEDED, strict=True))
        kinds = kinds if len(parts) > 1 else [(slice(0, 36), [0])]
        self._kernels: list[tuple[slice, Tensor]] = []
        for planes, needed in kinds:
            joined = torch.cat(by_plane[planes][:, needed].unbind(1), 2 if transposed else 1)
            self._kernels.append((planes, joined.to(dtype).contiguous()))  # [planes, in, out]
        #: Largest magnitude of a sum before the division, for inputs within +-1.
        sums = by_plane.abs().sum(2)[self._planes.ravel()]  # [36, phases, out], by place again
        sums = sums if transposed else sums.sum(1, keepdim=True)
        grown = torch.einsum("rx,sy,xypo->rspo", _GROWTH, _GROWTH, sums.unflatten(0, (6, 6)))
        self.growth = float(grown.max())

    def strips(
        self,
        x: NDArray[Any],
        scale: Any,
        bias: Any,
        out: NDArray[Any],
        part: tuple[int, int] | None = None,
    ) -> Iterator[NDArray[Any]]:
        """Convolve strip by strip.

        Args:
            x: [H, W, in].
            scale: [out], factors of the sums; exact for integers.
            bias: [out], added afterwards.
            out: Memory of the output, [height, width, out]. With a height of 0, memory for one
                strip is allocated, and each strip is valid until the next one.
            part: First and end row of tiles; by default all rows.

        Yields:
            Rows of the output, [rows, width, out].
        """
        before, behind = self.phases
        side = 4 * behind
        size = [-(-length * behind // before) for length in x.shape[:2]]
        rows, columns = (-(-length // side) for length in size)
        top, bottom = part or (0, rows)
        height = min(bottom - top, max(1, -(-_TILES // columns)))
        memory = out if len(out) else np.empty((height * side, size[1], len(bias)), x.dtype)
        with self._scratch(height * columns) as ((values, split), (sums, joined)):
            for first in range(top, bottom, height):
                count = min(height, bottom - first)
                begin, end = first * side, min((first + count) * side, size[0])
                strip = memory[begin:end] if len(out) else memory[: end - begin]
                in_threads(_split, count, x, before, first, columns, self._planes, split)
                for planes, kernels in self._kernels:
                    given, wanted = kernels.shape[1:]
                    torch.bmm(values[planes, :, :given], kernels, out=sums[planes, :, :wanted])
                in_threads(_join, count, joined, scale, bias, behind, columns, self._planes, strip)
                yield strip

    @contextmanager
    def _scratch(self, tiles: int) -> Iterator[list[tuple[Tensor, NDArray[Any]]]]:
        """Memory of the values and of the sums of so many tiles.

        For each a tensor [36, tiles, channels], and all of it, [36, more than tiles * channels].
        The padding keeps the distance of a tile's 36 lines from being a multiple of 4 KiB, with
        which they would share the same few cache sets.
        """
        first = self._kernels[0][1]
        sizes = [tiles * channels for channels in first.shape[1:]]
        lines = [size + -size % 1024 + 144 for size in sizes]
        with scratch(36 * sum(lines), first.dtype) as memory:
            parts = memory.split([36 * line for line in lines])
            views = [part.view(36, line) for part, line in zip(parts, lines, strict=True)]
            yield [
                (view[:, :size].view(36, tiles, -1), view.numpy())
                for view, size in zip(views, sizes, strict=True)
            ]


def _planes(transposed: bool) -> NDArray[np.int64]:
    """[6, 6], the index of each position's product; products of a kind have consecutive indexes."""
    less = 0 if transposed else 5  # not needed for two taps
    more = [place for place in range(6) if place != less]
    rows = ((more, more), ([less], more), (more, [less]), ([less], [less]))
    planes = np.empty((6, 6), np.int64)
    for number, place in enumerate(place for kind in rows for place in itertools.product(*kind)):
        planes[place] = number
    return planes


_kernel = njit(cache=True, nogil=True, boundscheck=False, fastmath={"contract", "reassoc"})


# Numbers of Python would promote the sums to float64.
_2, _4, _5, _8, _DIVISOR = (np.float32(n) for n in (2, 4, 5, 8, DIVISOR))


@_kernel
def _six(a0, a1, a2, a3, a4, a5, out):
    """The input transform along one axis: six lines of channels [C] to six in ``out``.

    Lines of ``out`` start at multiples of a constant, so that the compiler knows that they do not
    overlap, and vectorises.
    """
    for c in range(len(a0)):
        even, odd = a4[c] - _4 * a2[c], a3[c] - _4 * a1[c]
        near, far = a4[c] - a2[c], _2 * (a3[c] - a1[c])
        out[c] = _4 * a0[c] - _5 * a2[c] + a4[c]
        out[_LINE + c] = even + odd
        out[2 * _LINE + c] = even - odd
        out[3 * _LINE + c] = near + far
        out[4 * _LINE + c] = near - far
        out[5 * _LINE + c] = _4 * a1[c] - _5 * a3[c] + a5[c]


@_kernel
def _four(a0, a1, a2, a3, a4, a5, out):
    """The output transform along one axis: six lines of channels [C] to four in ``out``."""
    for c in range(len(a0)):
        near, far = a1[c] - a2[c], a3[c] - a4[c]
        sums, others = a1[c] + a2[c], a3[c] + a4[c]
        out[c] = a0[c] + sums + others
        out[_LINE + c] = near + _2 * far
        out[2 * _LINE + c] = sums + _4 * others
        out[3 * _LINE + c] = near + _8 * far + a5[c]


@_kernel
def _slot(plane, phase):
    """The index of a phase among those of a product; -1 if the product does not need it."""
    if plane < 25:
        return phase
    if plane < 30:
        return phase if phase < 2 else -1
    if plane < 35:
        return phase // 2 if phase % 2 == 0 else -1
    return phase if phase == 0 else -1


@_kernel
def _line(block, number, channels):
    return block[number * _LINE : number * _LINE + channels]


@_kernel
def _split(x, step, first, columns, planes, values, begin, end):
    """Transform the 6x6 inputs of each tile and phase of x [H, W, C] to [36, tiles * phases * C].

    The tiles are those of rows ``begin`` to ``end`` of a strip that starts with row ``first``.
    """
    height, width, channels = x.shape
    zeros = np.zeros(channels, x.dtype)
    half, done = np.empty((6, 6 * _LINE), x.dtype), np.empty(6 * _LINE, x.dtype)
    for row in range(begin, end):
        for column in range(columns):
            for phase in range(step * step):
                top = step * (4 * (first + row) - 1) + phase // 2
                left = step * (4 * column - 1) + phase % 2
                for i in range(6):
                    y = top + step * i
                    if 0 <= y < height:
                        line = x[y]
                        a0 = line[left] if left >= 0 else zeros
                        a1 = line[left + step] if left + step < width else zeros
                        a2 = line[left + 2 * step] if left + 2 * step < width else zeros
                        a3 = line[left + 3 * step] if left + 3 * step < width else zeros
                        a4 = line[left + 4 * step] if left + 4 * step < width else zeros
                        a5 = line[left + 5 * step] if left + 5 * step < width else zeros
                        _six(a0, a1, a2, a3, a4, a5, half[i])
                    else:
                        half[i] = 0
                tile = (row * columns + column) * step * step
                for j in range(6):
                    _six(
                        _line(half[0], j, channels), _line(half[1], j, channels),
                        _line(half[2], j, channels), _line(half[3], j, channels),
                        _line(half[4], j, channels), _line(half[5], j, channels), done,
                    )  # fmt: skip
                    for k in range(6):
                        plane = planes[k, j]
                        slot = _slot(plane, phase) if step == 2 else 0
                        if slot >= 0:
                            at = (tile + slot) * channels
                            values[plane, at : at + channels] = _line(done, k, channels)


@_kernel
def _sums_of(sums, plane, tile, phase, step, zeros):
    slot = _slot(plane, phase) if step == 2 else 0
    at = (tile + slot) * len(zeros)
    return sums[plane, at : at + len(zeros)] if slot >= 0 else zeros


@_kernel
def _join(sums, scale, bias, step, columns, planes, out, begin, end):
    """Transform sums [36, tiles * phases * C] to the 4x4 outputs of each tile and phase."""
    height, width, channels = out.shape
    zeros = np.zeros(channels, out.dtype)
    half, done = np.empty((6, 4 * _LINE), out.dtype), np.empty(4 * _LINE, out.dtype)
    for row in range(begin, end):
        for column in range(columns):
            for phase in range(step * step):
                tile = (row * columns + column) * step * step
                for j in range(6):
                    _four(
                        _sums_of(sums, planes[0, j], tile, phase, step, zeros),
                        _sums_of(sums, planes[1, j], tile, phase, step, zeros),
                        _sums_of(sums, planes[2, j], tile, phase, step, zeros),
                        _sums_of(sums, planes[3, j], tile, phase, step, zeros),
                        _sums_of(sums, planes[4, j], tile, phase, step, zeros),
                        _sums_of(sums, planes[5, j], tile, phase, step, zeros),
                        half[j],
                    )
                for i in range(4):
                    y = step * (4 * row + i) + phase // 2
                    if y < height:
                        _four(
                            _line(half[0], i, channels), _line(half[1], i, channels),
                            _line(half[2], i, channels), _line(half[3], i, channels),
                            _line(half[4], i, channels), _line(half[5], i, channels), done,
                        )  # fmt: skip
                        for j in range(4):
                            place = step * (4 * column + j) + phase % 2
                            if place < width:
                                line, result = out[y, place], _line(done, j, channels)
                                for c in range(channels):
                                    line[c] = result[c] / _DIVISOR * scale[c] + bias[c]
