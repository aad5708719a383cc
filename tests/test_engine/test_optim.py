"""ConvSOAP: the library's optimiser with a kernel's places as one dimension."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from pytorch_optimizer import SOAP
from torch import Tensor, nn

from vcm_mt.engine.optim import ConvSOAP

SETTINGS: dict[str, Any] = dict(lr=3e-2, betas=(0.95, 0.95), weight_decay=0.0)


def some(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))))


def run(optimizer: torch.optim.Optimizer, p: nn.Parameter, target: Tensor, steps: int) -> float:
    """Distance to the target after some steps that are 100 times as steep one way as another."""
    slopes = torch.logspace(0, 2, p[0].numel()).view(p.shape[1:])
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (slopes * (p - target)).square().sum()
        loss.backward()
        optimizer.step()
    return float((p - target).detach().norm())


def test_a_kernel_is_one_dimension() -> None:
    p = some(6, 4, 5, 3)
    optimizer = ConvSOAP([p], **SETTINGS)
    run(optimizer, p, torch.zeros_like(p), 2)
    assert [tuple(matrix.shape) for matrix in optimizer.state[p]["Q"]] == [(6, 6), (4, 4), (15, 15)]


def test_wide_dimensions_have_no_matrix() -> None:
    p = some(6, 4, 5, 3)
    optimizer = ConvSOAP([p], **SETTINGS, max_precondition_dim=5)
    run(optimizer, p, torch.zeros_like(p), 2)
    assert [len(matrix) for matrix in optimizer.state[p]["Q"]] == [0, 4, 0]


@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 3, 1), (4, 1, 1)])
def test_without_a_kernel_it_is_the_library_s(shape: tuple[int, ...]) -> None:
    ours, theirs = some(*shape), some(*shape)
    run(ConvSOAP([ours], **SETTINGS), ours, torch.zeros_like(ours), 25)
    run(SOAP([theirs], **SETTINGS), theirs, torch.zeros_like(theirs), 25)
    assert torch.equal(ours, theirs)


def test_it_descends_and_goes_on_from_its_state() -> None:
    p, target = some(6, 4, 3, 3), torch.ones(6, 4, 3, 3)
    start = float((p - target).detach().norm())
    optimizer = ConvSOAP([p], **SETTINGS)
    run(optimizer, p, target, 120)
    other = nn.Parameter(p.detach().clone())
    resumed = ConvSOAP([other], **SETTINGS)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    ends = run(optimizer, p, target, 120), run(resumed, other, target, 120)
    assert ends[0] < 0.5 * start
    assert torch.equal(p, other)
