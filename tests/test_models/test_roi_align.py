"""RoIAlign on all threads gives what mmcv's does."""

import multiprocessing
import os
from unittest import mock

import pytest
import torch
from mmcv.ops import RoIAlign

from vcm_mt.models.fast.roi_align import FastRoIAlign


def _boxes(count):
    """On two pictures of 148x116 pixels: small, large, beyond the border, empty."""
    corner, size = 160 * torch.rand(count, 2) - 20, 120 * torch.rand(count, 2) ** 2
    size[0] = 0
    picture = torch.randint(0, 2, (count, 1)).float()
    return torch.cat([picture, corner, corner + size], 1)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_values_and_gradients_are_mmcvs(sampling_ratio, aligned, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(0)
    theirs = RoIAlign((7, 5), 0.25, sampling_ratio, "avg", aligned)
    ours = FastRoIAlign(theirs)
    maps = torch.randn(2, 5, 37, 29)
    boxes, weight = _boxes(60), torch.randn(60, 5, 7, 5)
    actual = []
    for layer, memory_format in ((theirs, torch.contiguous_format), (ours, torch.channels_last)):
        x = maps.clone(memory_format=memory_format).requires_grad_()
        pooled = layer(x, boxes)
        (pooled * weight).sum().backward()
        actual.append((pooled, x.grad))
    for expected, got in zip(*actual, strict=True):
        assert torch.allclose(got, expected, atol=3e-5)
    assert actual[0][0].abs().max() > 1


def test_no_box_and_maximum_pooling():
    layer = FastRoIAlign(RoIAlign(7, 0.25))
    assert layer(torch.randn(1, 4, 8, 8), torch.zeros(0, 5)).shape == (0, 4, 7, 7)
    assert FastRoIAlign.replaces(RoIAlign(7, 0.25))
    assert not FastRoIAlign.replaces(RoIAlign(7, 0.25, pool_mode="max"))


def test_a_process_that_was_forked_pools_on_threads_of_its_own():
    layer = FastRoIAlign(RoIAlign(7, 0.25))
    maps, boxes = torch.randn(2, 4, 37, 29), _boxes(20)
    expected = layer(maps, boxes)  # from here on this process has its threads

    def _again():
        with mock.patch("torch.get_num_threads", lambda: 3):
            os._exit(not torch.equal(layer(maps, boxes), expected))

    with mock.patch("torch.get_num_threads", lambda: 3):
        assert torch.equal(layer(maps, boxes), expected)
    child = multiprocessing.get_context("fork").Process(target=_again)
    child.start()
    child.join(60)
    child.kill()
    assert child.exitcode == 0
