"""The entropy coder: symbols <-> bytes with range asymmetric numeral systems (rANS).

Its strings are byte-identical to those of CompressAI's ``ans`` (ryg's 64-bit rANS with 32-bit
words, 16-bit probabilities, escapes in nibbles). Unlike that coder it checks every read and write,
and accepts a string only if an encoder could have written it. That detects most damage, but not
all, since a flipped bit can give another valid string; the container has a checksum for that.

A string is a sequence of little-endian 32-bit words. The first two are the decoder's initial state
x. Decoding a symbol with the interval (start, freq) sets x to
``freq * (x >> 16) + (x & 0xffff) - start``; if x is then below 2^31, the next word is shifted in.
After the last symbol x is 2^31. A value outside its table is coded as the table's last symbol, the
escape, followed by nibbles: their number, then the zigzag distance from the end of the table,
lowest nibble first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from vcm_mt.errors import BitstreamError

_PRECISION = 16
#: Nibbles of the largest distance from a table that 32-bit symbols can have.
_MOST_NIBBLES = 8
#: Number of high bits of a probability that index the table of search hints.
_HINT_BITS = 8
_HINT_SHIFT = _PRECISION - _HINT_BITS

_OK, _TRUNCATED, _BAD_ESCAPE = range(3)
_FULL, _TOO_FAR = -1, -2
_MESSAGES = {
    _TRUNCATED: "it ends before its last symbol",
    _BAD_ESCAPE: "it contains a number that no encoder writes",
}

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of cumulative frequencies.

    Attributes:
        cdfs: int32 [tables, length]. The used part of each row rises from 0 to 65536; its last
            interval is the escape.
        sizes: int32 [tables], the number of entries used in each row.
        offsets: int32 [tables], the value of each table's first symbol.

    Raises:
        ValueError: If shapes do not match, or frequencies are not positive.
    """

    cdfs: Ints
    sizes: Ints
    offsets: Ints
    _intervals: NDArray[np.uint64] = field(init=False, repr=False)
    _hints: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("cdfs", "sizes", "offsets"):
            array = np.ascontiguousarray(getattr(self, name), np.int32)
            object.__setattr__(self, name, array if name == "cdfs" else array.reshape(-1))
        if self.cdfs.ndim != 2 or not len(self.cdfs) == len(self.sizes) == len(self.offsets):
            raise ValueError("cdfs must be [tables, length], sizes and offsets [tables]")
        for row, size in zip(self.cdfs, self.sizes, strict=True):
            used = row[:size]
            fits = 2 <= size <= row.size and used[0] == 0 and used[-1] == 1 << _PRECISION
            if not fits or (np.diff(used) <= 0).any():
                raise ValueError("a table's frequencies must be positive and sum to 65536")
        object.__setattr__(self, "_intervals", _intervals(self.cdfs))
        object.__setattr__(self, "_hints", _hints(self.cdfs, self.sizes))

    @classmethod
    def joined(cls, *parts: Tables) -> Tables:
        """Concatenate sets of tables."""
        length = max(part.cdfs.shape[1] for part in parts)
        padded = [np.pad(p.cdfs, ((0, 0), (0, length - p.cdfs.shape[1]))) for p in parts]
        return cls(
            np.concatenate(padded),
            np.concatenate([part.sizes for part in parts]),
            np.concatenate([part.offsets for part in parts]),
        )

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays that the decoding kernel reads."""
        return self.cdfs, self.sizes, self.offsets


def encode(symbols: Ints, indexes: Ints, tables: Tables) -> bytes:
    """Encode symbols to a string.

    Args:
        symbols: int32 [n].
        indexes: int32 [n], the table of each symbol.
        tables: The tables.

    Raises:
        ValueError: If the lengths differ, an index has no table, or a symbol is 2^31 or more away
            from its table.
    """
    symbols = np.ascontiguousarray(symbols, np.int32)
    indexes = _checked(indexes, tables)
    if symbols.shape != indexes.shape:
        raise ValueError(f"{symbols.size} symbols but {indexes.size} indexes")
    # A symbol takes at most 1.6 words: 16 bits, and an escape of 9 nibbles.
    for room in (symbols.size // 2 + 64, 2 * symbols.size + 2):
        words = np.empty(room, np.uint32)
        first = _encode(symbols, indexes, tables.sizes, tables.offsets, tables._intervals, words)
        if first == _TOO_FAR:
            raise ValueError("a symbol is too far outside its table")
        if first >= 0:
            return words[first:].astype("<u4", copy=False).tobytes()
    raise AssertionError("no string takes that many words")


def decode(data: bytes, indexes: Ints, tables: Tables) -> Ints:
    """Decode a whole string to one symbol per index; see :class:`Decoder`."""
    decoder = Decoder(data, tables)
    symbols = decoder.take(indexes)
    decoder.close()
    return symbols


class Decoder:
    """Decodes a string piece by piece, for tables that depend on symbols decoded before.

    Args:
        data: A string of :func:`encode`.
        tables: The tables.

    Raises:
        BitstreamError: If no string can have that length or start.
    """

    def __init__(self, data: bytes, tables: Tables) -> None:
        if len(data) % 4 or len(data) < 8:
            raise BitstreamError("the entropy-coded string is damaged: its length is impossible")
        self._words = np.frombuffer(data, "<u4").astype(np.uint32, copy=False)
        self._tables = tables
        state = int(self._words[1]) << 32 | int(self._words[0])
        if not 1 << 31 <= state < 1 << 63:
            raise BitstreamError("the entropy-coded string is damaged: its start is impossible")
        self._state = np.array([state, 2], np.uint64)

    def take(self, indexes: Ints) -> Ints:
        """The next symbols.

        Args:
            indexes: int32 [n], the table of each symbol.

        Returns:
            int32 [n].

        Raises:
            BitstreamError: If the bytes cannot come from :func:`encode`.
            ValueError: If an index has no table.
        """
        indexes = _checked(indexes, self._tables)
        symbols = np.empty(indexes.size, np.int32)
        status = _decode(  # type: ignore[call-arg]
            self._words, indexes, *self._tables.arrays, self._tables._hints, self._state, symbols
        )
        if status != _OK:
            raise BitstreamError(f"the entropy-coded string is damaged: {_MESSAGES[status]}")
        return symbols

    def close(self) -> None:
        """Check that the string ends here.

        Raises:
            BitstreamError: If words are left, or the final state is not an encoder's.
        """
        if self._state.tolist() != [1 << 31, self._words.size]:
            raise BitstreamError(
                "the entropy-coded string is damaged: it does not end after its last symbol"
            )


def _checked(indexes: Ints, tables: Tables) -> Ints:
    indexes = np.ascontiguousarray(indexes, np.int32)
    if indexes.ndim != 1:
        raise ValueError("symbols and indexes must be one-dimensional")
    if indexes.size and not 0 <= indexes.min() <= indexes.max() < len(tables.sizes):
        raise ValueError(f"an index has no table: there are {len(tables.sizes)}")
    return indexes


def _intervals(cdfs: Ints) -> NDArray[np.uint64]:
    """The constants for encoding each symbol, [tables, length - 1, 2].

    The first number is bias | freq << 20 | s << 40, the second the multiplier m. With
    q = (m * x >> 64) >> s, the state x becomes x + bias + q * (2^16 - freq). For frequencies above
    1, m = ceil(2^(s + 64) / freq) and s = ceil(log2 freq) - 1 give the quotient q = x // freq for x
    below 2^63 (Granlund and Montgomery 1994), and the bias is the start of the interval. For
    frequency 1, m = 2^64 - 1 gives q = x - 1, which the bias compensates (ryg's rans64.h).
    """
    starts, exact = cdfs[:, :-1].astype(np.int64), np.diff(cdfs.astype(np.int64), axis=1)
    frequencies = exact.clip(min=2)
    shifts = np.ceil(np.log2(frequencies)).astype(np.int64) - 1
    high, rest = np.divmod(np.int64(1) << (shifts + 32), frequencies)
    low = -(-(rest << 32) // frequencies)
    multipliers = (high.astype(np.uint64) << np.uint64(32)) + low.astype(np.uint64)
    multipliers[exact == 1] = np.iinfo(np.uint64).max
    shifts[exact == 1] = 0
    biases = starts + np.where(exact == 1, 0xFFFF, 0)
    packed = biases | exact.clip(min=0) << 20 | shifts << 40
    return np.ascontiguousarray(np.stack([packed.astype(np.uint64), multipliers], axis=2))


def _hints(cdfs: Ints, sizes: Ints) -> NDArray[np.int32]:
    """The first symbol that each value of the high bits can stand for, for every table."""
    starts = np.arange(1 << _HINT_BITS) << (_PRECISION - _HINT_BITS)
    rows = [
        np.searchsorted(row[:size], starts, side="right") - 1
        for row, size in zip(cdfs, sizes, strict=True)
    ]
    return np.ascontiguousarray(rows, np.int32)


@intrinsic
def _multiply_high(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """The upper 64 bits of a product of unsigned 64-bit numbers, as one instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        wide = ir.IntType(128)
        a, b = (builder.zext(value, wide) for value in arguments)
        high = builder.lshr(builder.mul(a, b), ir.Constant(wide, 64))
        return builder.trunc(high, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@njit(cache=True, nogil=True, boundscheck=False)
def _encode(symbols, indexes, sizes, offsets, intervals, words):
    """Fill ``words`` from its end; returns the index of the first word or a negative status."""
    u64 = np.uint64
    at = words.size
    x = u64(1 << 31)
    for i in range(symbols.size - 1, -1, -1):
        table = indexes[i]
        escape = sizes[table] - 2
        value = np.int64(symbols[i]) - np.int64(offsets[table])
        if value < 0 or value >= escape:
            distance = 2 * (value - escape) if value >= escape else -2 * value - 1
            if distance > 0xFFFFFFFF:
                return _TOO_FAR
            count = 0
            while distance >> (4 * count):
                count += 1
            for nibble in range(count, -1, -1):
                # Encoding runs backwards: the number of nibbles is written last.
                bits = count if nibble == 0 else distance >> (4 * (nibble - 1)) & 15
                if x >= u64(1 << 59):
                    if at == 0:
                        return _FULL
                    at -= 1
                    words[at] = np.uint32(x & u64(0xFFFFFFFF))
                    x >>= u64(32)
                x = x << u64(4) | u64(bits)
            value = np.int64(escape)
        packed = intervals[table, value, 0]
        frequency = packed >> u64(20) & u64(0xFFFFF)
        if x >= frequency << u64(47):
            if at == 0:
                return _FULL
            at -= 1
            words[at] = np.uint32(x & u64(0xFFFFFFFF))
            x >>= u64(32)
        high: Any = _multiply_high(x, intervals[table, value, 1])  # type: ignore[call-arg]
        quotient = high >> (packed >> u64(40))
        x += (packed & u64(0xFFFFF)) + quotient * (u64(1 << 16) - frequency)
    if at < 2:
        return _FULL
    words[at - 1] = np.uint32(x >> u64(32))
    words[at - 2] = np.uint32(x & u64(0xFFFFFFFF))
    return at - 2


@njit(cache=True, nogil=True, boundscheck=False)
def _decode(words, indexes, cdfs, sizes, offsets, hints, state, symbols):
    """Fill ``symbols``; returns a status. ``state`` is x and the index of the next word."""
    u64 = np.uint64
    lowest = u64(1 << 31)
    x = state[0]
    at = np.int64(state[1])
    for i in range(symbols.size):
        table = indexes[i]
        place = np.int64(x & u64(0xFFFF))
        value = np.int64(hints[table, place >> _HINT_SHIFT])
        while cdfs[table, value + 1] <= place:
            value += 1
        start = cdfs[table, value]
        x = u64(cdfs[table, value + 1] - start) * (x >> u64(16)) + u64(place - start)
        if x < lowest:
            if at == words.size:
                return _TRUNCATED
            x = x << u64(32) | u64(words[at])
            at += 1
        escape = sizes[table] - 2
        if value == escape:
            count = 0
            distance = np.int64(0)
            bits = np.int64(0)
            nibble = 0
            while nibble <= count:
                bits = np.int64(x & u64(15))
                x >>= u64(4)
                if x < lowest:
                    if at == words.size:
                        return _TRUNCATED
                    x = x << u64(32) | u64(words[at])
                    at += 1
                if nibble == 0:
                    count = int(bits)
                    if count > _MOST_NIBBLES:
                        return _BAD_ESCAPE
                else:
                    distance |= bits << (4 * (nibble - 1))
                nibble += 1
            if count and bits == 0:
                return _BAD_ESCAPE  # a leading zero
            value = -(distance >> 1) - 1 if distance & 1 else (distance >> 1) + escape
        value += offsets[table]
        if not -(1 << 31) <= value < 1 << 31:
            return _BAD_ESCAPE
        symbols[i] = value
    state[0] = x
    state[1] = u64(at)
    return _OK
