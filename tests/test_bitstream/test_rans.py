"""The entropy coder: CompressAI's bytes, and nothing but what an encoder writes is accepted."""

import numpy as np
import pytest
from compressai import ans
from compressai.entropy_models import GaussianConditional
from compressai.models.base import get_scale_table

from vcm_mt.bitstream import rans
from vcm_mt.errors import BitstreamError


@pytest.fixture(scope="module")
def tables():
    """The 64 tables of CompressAI's Gaussian conditional, 3 to 3133 entries."""
    gaussian = GaussianConditional(None)
    gaussian.update_scale_table(get_scale_table(), force=True)
    return rans.Tables(
        gaussian._quantized_cdf.numpy(),
        gaussian._cdf_length.numpy(),
        gaussian._offset.numpy(),
    )


def _draw(n, seed=0, spread=1.0):
    """Symbols that mostly fit their tables; a spread above 1 makes escapes."""
    generator = np.random.default_rng(seed)
    indexes = generator.integers(0, 64, n, dtype=np.int32)
    scales = get_scale_table().numpy()[indexes]
    symbols = np.round(spread * scales * generator.standard_normal(n)).astype(np.int32)
    return symbols, indexes


def _compressai(symbols, indexes, tables):
    return ans.RansEncoder().encode_with_indexes(
        symbols.tolist(),
        indexes.tolist(),
        tables.cdfs.tolist(),
        tables.sizes.tolist(),
        tables.offsets.tolist(),
    )


@pytest.mark.parametrize("n", [2, 3, 10, 1000, 50_000])
@pytest.mark.parametrize("spread", [0.5, 1.0, 30.0])
def test_the_bytes_are_compressais(tables, n, spread):
    symbols, indexes = _draw(n, seed=n, spread=spread)
    data = rans.encode(symbols, indexes, tables)
    assert data == _compressai(symbols, indexes, tables)
    assert np.array_equal(rans.decode(data, indexes, tables), symbols)


def test_far_escapes_are_compressais(tables):
    symbols, indexes = _draw(64)
    symbols[::4] = [(-1) ** i * 7 ** (i % 10) for i in range(16)]  # 28 bits are its limit
    data = rans.encode(symbols, indexes, tables)
    assert data == _compressai(symbols, indexes, tables)
    assert np.array_equal(rans.decode(data, indexes, tables), symbols)


def test_the_farthest_symbols_come_back(tables):
    """CompressAI's encoder never ends on these."""
    indexes = np.array([0, 63, 5], np.int32)
    symbols = np.array([2**31 - 1, -(2**30), 2**30], np.int32)
    data = rans.encode(symbols, indexes, tables)
    assert np.array_equal(rans.decode(data, indexes, tables), symbols)


def test_a_symbol_too_far_from_its_table_is_refused():
    tables = rans.Tables([[0, 1, 1 << 16]], [3], [1000])
    with pytest.raises(ValueError, match="too far"):
        rans.encode([-(2**31)], [0], tables)


@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single_strings(tables, n):
    symbols, indexes = _draw(n, seed=3)
    data = rans.encode(symbols, indexes, tables)
    assert len(data) == 8
    assert np.array_equal(rans.decode(data, indexes, tables), symbols)


def test_many_escapes_need_more_room_than_guessed(tables):
    indexes = np.zeros(1000, np.int32)
    symbols = np.full(1000, 2**29, np.int32)
    data = rans.encode(symbols, indexes, tables)
    assert len(data) > 4 * (1000 // 2 + 64)
    assert np.array_equal(rans.decode(data, indexes, tables), symbols)


def test_every_frequency_divides_exactly():
    """The reciprocals in place of divisions, at the ends of every state's range."""
    for frequency in (1, 2, 3, 5, 7, 255, 256, 257, 32767, 32768, 32769, 65534, 65535):
        tables = rans.Tables([[0, frequency, 1 << 16]], [3], [0])
        symbols = np.zeros(400, np.int32)
        symbols[::3] = -1
        indexes = np.zeros(400, np.int32)
        data = rans.encode(symbols, indexes, tables)
        assert data == _compressai(symbols, indexes, tables), frequency
        assert np.array_equal(rans.decode(data, indexes, tables), symbols)


def test_every_cut_is_noticed(tables):
    symbols, indexes = _draw(300)
    data = rans.encode(symbols, indexes, tables)
    for end in range(len(data)):
        with pytest.raises(BitstreamError):
            rans.decode(data[:end], indexes, tables)
    with pytest.raises(BitstreamError):
        rans.decode(data + b"\0\0\0\0", indexes, tables)


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_what_is_accepted_is_what_an_encoder_writes(tables, spread):
    """Each flip is noticed, or has made the one string of other symbols."""
    symbols, indexes = _draw(300, spread=spread)
    data = rans.encode(symbols, indexes, tables)
    accepted = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = rans.decode(bytes(damaged), indexes, tables)
        except BitstreamError:
            continue
        accepted += 1
        assert not np.array_equal(decoded, symbols)
        assert rans.encode(decoded, indexes, tables) == bytes(damaged)
    assert accepted < 8 * len(data) / 4


def test_noise_is_refused(tables):
    generator = np.random.default_rng(5)
    for _ in range(300):
        noise = generator.bytes(4 * int(generator.integers(2, 60)))
        indexes = generator.integers(0, 64, int(generator.integers(0, 200)), dtype=np.int32)
        with pytest.raises(BitstreamError):
            rans.decode(noise, indexes, tables)


def test_a_number_that_no_encoder_writes():
    """An escape with a leading zero nibble would be a second way to write one symbol."""
    tables = rans.Tables([[0, 1, 1 << 16]], [3], [0])
    # State 2^31 before the symbols, in reverse: nibbles 0, 1, then the count 2, then the escape.
    state = 1 << 31
    for nibble in (0, 1, 2):
        state = state << 4 | nibble
    frequency = (1 << 16) - 1
    state = (state // frequency << 16) + state % frequency + 1
    with pytest.raises(BitstreamError, match="no encoder writes"):
        rans.decode(state.to_bytes(8, "little"), [0], tables)


@pytest.mark.parametrize(
    ("symbols", "indexes"), [([1, 2], [0]), ([1], [64]), ([1], [-1]), ([[1]], [[0]])]
)
def test_arguments_that_do_not_fit(tables, symbols, indexes):
    with pytest.raises(ValueError, match=r"symbols|table"):
        rans.encode(symbols, indexes, tables)


@pytest.mark.parametrize(
    ("row", "size"),
    [([0, 0, 1 << 16], 3), ([1, 1 << 16, 0], 2), ([0, 5, 6], 3), ([0, 1 << 16], 3), ([0, 9], 1)],
)
def test_tables_that_are_none(row, size):
    with pytest.raises(ValueError, match="frequencies"):
        rans.Tables([row], [size], [0])


def test_it_does_not_depend_on_threads(tables):
    from concurrent.futures import ThreadPoolExecutor

    jobs = [_draw(2000, seed) for seed in range(16)]
    alone = [rans.encode(*job, tables) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: rans.encode(*job, tables), jobs))
        decoded = list(pool.map(lambda i: rans.decode(together[i], jobs[i][1], tables), range(16)))
    assert together == alone
    assert all(np.array_equal(d, job[0]) for d, job in zip(decoded, jobs, strict=True))


def test_a_string_can_be_taken_piece_by_piece(tables):
    symbols, indexes = _draw(1000, spread=3.0)
    data = rans.encode(symbols, indexes, tables)
    decoder = rans.Decoder(data, tables)
    pieces = [decoder.take(part) for part in np.split(indexes, [1, 1, 500])]
    with pytest.raises(BitstreamError):
        rans.Decoder(data, tables).close()  # not all was taken
    decoder.close()
    assert np.array_equal(np.concatenate(pieces), symbols)


def test_joined_tables_are_their_parts(tables):
    small = rans.Tables([[0, 9, 1 << 16, 0]], [3], [-4])
    joined = rans.Tables.joined(small, tables)
    symbols, indexes = _draw(500)
    data = rans.encode(symbols, indexes + 1, joined)
    assert data == rans.encode(symbols, indexes, tables)
    assert rans.encode([-4, 7], [0, 0], joined) == rans.encode([-4, 7], [0, 0], small)


def test_a_start_that_no_encoder_leaves(tables):
    symbols, indexes = _draw(10)
    data = bytearray(rans.encode(symbols, indexes, tables))
    data[7] |= 0x80
    with pytest.raises(BitstreamError, match="start is impossible"):
        rans.decode(bytes(data), indexes, tables)
