"""Convolutions by fewer products against the sums written out."""

from collections import deque

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from vcm_mt.numerics import winograd
from vcm_mt.numerics.winograd import Tiles

SIZES = [(1, 1), (3, 4), (8, 8), (9, 33), (37, 10)]
KINDS = {
    "3x3": (3, False, lambda x, w: F.conv2d(x, w, padding=1)),
    "strided": (5, False, lambda x, w: F.conv2d(x, w, stride=2, padding=2)),
    "transposed": (
        5,
        True,
        lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), None, 2, 2, 1),
    ),
}


def _convolved(tiles, x, channels, wanted, out=None):
    """One strip after another, put together."""
    ones, dtype = np.ones(channels), x.numpy().dtype
    given = x[0].permute(1, 2, 0).contiguous().numpy()
    memory = np.empty((0, 0, 0), dtype) if out is None else out
    strips = tiles.strips(given, ones.astype(dtype), (0 * ones).astype(dtype), memory)
    if out is not None:
        deque(strips, maxlen=0)
        return torch.from_numpy(out).permute(2, 0, 1)[None]
    actual = np.concatenate([strip.copy() for strip in strips])
    assert actual.shape == (*wanted.shape[-2:], channels)
    return torch.from_numpy(actual).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tiles_at_once", [1, 160])
def test_integers_are_exact(kind, size, tiles_at_once, monkeypatch):
    monkeypatch.setattr(winograd, "_TILES", tiles_at_once)
    side, transposed, written_out = KINDS[kind]
    torch.manual_seed(1)
    weight = torch.randint(-127, 128, (7, 5, side, side)).double()
    x = torch.randint(-(1 << 20), 1 << 20, (1, 5, *size)).double()
    tiles = Tiles(weight, transposed, torch.float64)
    assert (1 << 20) * tiles.growth < 1 << 53
    wanted = written_out(x, weight)
    assert torch.equal(_convolved(tiles, x, 7, wanted), wanted)
    out = np.empty((*wanted.shape[-2:], 7))
    assert torch.equal(_convolved(tiles, x, 7, wanted, out), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_of_growth_is_above_what_an_output_can_be(kind):
    """At the least: before it is divided, the sum of its kernel's magnitudes times the divisor."""
    side, transposed, written_out = KINDS[kind]
    torch.manual_seed(2)
    weight = torch.randn(4, 3, side, side).double()
    tiles = Tiles(weight, transposed, torch.float64)
    x = torch.zeros(1, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    actual = written_out(x, weight)[0, :, 5, 5]
    for one in actual:
        (signs,) = torch.autograd.grad(one, x, retain_graph=True)
        largest = (signs.sign() * signs).sum().item()
        assert winograd.DIVISOR * largest <= tiles.growth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 3])
def test_float32_is_as_near_as_its_rounding_allows(kind, threads):
    side, transposed, written_out = KINDS[kind]
    torch.manual_seed(3)
    weight = torch.randn(48, 40, side, side).double() / side / 40**0.5
    x = torch.randn(1, 40, 21, 30)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        wanted = written_out(x.double(), weight)
        actual = _convolved(Tiles(weight, transposed, torch.float32), x, 48, wanted)
    finally:
        torch.set_num_threads(before)
    assert (actual - wanted).abs().max() < 3e-5 * wanted.std()
