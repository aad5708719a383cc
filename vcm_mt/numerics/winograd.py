"""3x3 convolutions by a quarter of their products: F(4x4, 3x3) of Lavin & Gray (2016).

6x6 places of the input become 36 values, products of matrices go through the channels, and 36 sums
become 4x4 places of the output. A 5x5 convolution of stride 2 has four phases on its input's side
(the places modulo 2), and a transposed one on its output's; each has at most 3x3 taps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vcm_mt.numerics.threads import in_threads

#: Most channels on either side; and how far lines of them lie apart in a kernel's own memory: not
#: by a multiple of 4 KiB, or they would lie in the same few places of a cache.
MOST_CHANNELS = 512
_LINE = MOST_CHANNELS + 16
#: About as many tiles are worked on at a time: what is computed of them stays in the cache.
_TILES = 160
#: Kernels are transformed by integers, and sums divided by this, so that integers stay such.
DIVISOR = 24**2
#: The kernel's transform times 24; the input's and the output's are :func:`_six` and :func:`_four`.
_G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
#: How far the other two let a value on their way through each place grow, in each place of 4.
_GROWTH = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, 1, 2, 2, 0], [0, 1, 1, 4, 4, 0], [0, 1, 1, 8, 8, 1]]
) * torch.tensor([10, 10, 10, 6, 6, 10], dtype=torch.float64)
#: Which of the 36 products are of a kind, and the phases that they are over.
_KINDS = (slice(0, 25), slice(25, 30), slice(30, 35), slice(35, 36))
_NEEDED = ([0, 1, 2, 3], [0, 1], [0, 2], [0])


class Tiles:
    """A convolution to be computed tile by tile, its kernels transformed.

    A phase with two taps on an axis in place of three needs no product at one of the six places:
    the 36 products of matrices are of four kinds, over 4, 2, 2 and 1 phases.

    Args:
        weight: float64 [out, in, 3, 3] for a convolution of padding 1; [out, in, 5, 5] for one of
            stride 2 and padding 2, or a transposed one to twice the size.
        transposed: Whether it is that.
        dtype: float32 or float64, of all that is computed. In float64 integers stay exact where
            :attr:`growth` allows.
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
        #: How far a sum can grow for inputs of at most 1, before it is divided.
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
            scale: [out], what sums are multiplied with, exact for integers.
            bias: [out], what is added then.
            out: [height, width, out] of the result; with a height of 0, memory for one strip at a
                time is made, and holds until the next.
            part: First row of tiles and the one after the last; by default all.

        Yields:
            Rows of the result, [rows, width, out].
        """
        before, behind = self.phases
        side = 4 * behind
        size = [-(-length * behind // before) for length in x.shape[:2]]
        rows, columns = (-(-length // side) for length in size)
        top, bottom = part or (0, rows)
        height = min(bottom - top, max(1, -(-_TILES // columns)))
        first_kernels = self._kernels[0][1]
        values, split = _room(height * columns, first_kernels.shape[1], first_kernels.dtype)
        sums, joined = _room(height * columns, first_kernels.shape[2], first_kernels.dtype)
        memory = out if len(out) else np.empty((height * side, size[1], len(bias)), x.dtype)
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


def _planes(transposed: bool) -> NDArray[np.int64]:
    """[6, 6], the number of each place's product, so that those of a kind follow each other."""
    less = 0 if transposed else 5  # the place that two taps do without
    more = [place for place in range(6) if place != less]
    rows = ((more, more), ([less], more), (more, [less]), ([less], [less]))
    found = np.empty((6, 6), np.int64)
    for number, place in enumerate(place for kind in rows for place in itertools.product(*kind)):
        found[place] = number
    return found


def _room(tiles: int, channels: int, dtype: torch.dtype) -> tuple[Tensor, NDArray[Any]]:
    """A tensor [36, tiles, channels], and its memory, [36, more than tiles * channels].

    A tile's 36 lines would lie in the same few places of a cache, were their distance a multiple of
    4 KiB.
    """
    size = tiles * channels
    memory = torch.empty(36, size + -size % 1024 + 144, dtype=dtype)
    return memory[:, :size].view(36, tiles, channels), memory.numpy()


_kernel = njit(cache=True, nogil=True, boundscheck=False, fastmath={"contract", "reassoc"})


# Python's numbers would make doubles of the sums.
_2, _4, _5, _8, _DIVISOR = (np.float32(n) for n in (2, 4, 5, 8, DIVISOR))


@_kernel
def _six(a0, a1, a2, a3, a4, a5, out):
    """The input's transform along one axis: six lines of channels [C] to six in ``out``.

    Lines of ``out`` begin at multiples of a constant: else the compiler would not know that they
    lie apart, and would not vectorise.
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
    """The output's transform along one axis: six lines of channels [C] to four in ``out``."""
    for c in range(len(a0)):
        near, far = a1[c] - a2[c], a3[c] - a4[c]
        sums, others = a1[c] + a2[c], a3[c] + a4[c]
        out[c] = a0[c] + sums + others
        out[_LINE + c] = near + _2 * far
        out[2 * _LINE + c] = sums + _4 * others
        out[3 * _LINE + c] = near + _8 * far + a5[c]


@_kernel
def _slot(plane, phase):
    """Where a phase's channels stand among those that a product is over; -1 where it has none."""
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
    """6x6 places of each phase of x [H, W, C] around tiles to values [36, tiles * phases * C].

    Tiles are those of rows ``begin`` to ``end`` of a strip that starts with row ``first``.
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
def _found(sums, plane, tile, phase, step, zeros):
    slot = _slot(plane, phase) if step == 2 else 0
    at = (tile + slot) * len(zeros)
    return sums[plane, at : at + len(zeros)] if slot >= 0 else zeros


@_kernel
def _join(sums, scale, bias, step, columns, planes, out, begin, end):
    """Sums [36, tiles * phases * C] to 4x4 places of each phase of out [H, W, C]."""
    height, width, channels = out.shape
    zeros = np.zeros(channels, out.dtype)
    half, done = np.empty((6, 4 * _LINE), out.dtype), np.empty(4 * _LINE, out.dtype)
    for row in range(begin, end):
        for column in range(columns):
            for phase in range(step * step):
                tile = (row * columns + column) * step * step
                for j in range(6):
                    _four(
                        _found(sums, planes[0, j], tile, phase, step, zeros),
                        _found(sums, planes[1, j], tile, phase, step, zeros),
                        _found(sums, planes[2, j], tile, phase, step, zeros),
                        _found(sums, planes[3, j], tile, phase, step, zeros),
                        _found(sums, planes[4, j], tile, phase, step, zeros),
                        _found(sums, planes[5, j], tile, phase, step, zeros),
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
                                line, found = out[y, place], _line(done, j, channels)
                                for c in range(channels):
                                    line[c] = found[c] / _DIVISOR * scale[c] + bias[c]
