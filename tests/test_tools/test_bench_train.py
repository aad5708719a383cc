"""The benchmark compares what is comparable: both sides have the same loss and the same steps."""

import sys

import pytest
import torch

from tests.conftest import ROOT


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    import train_sides

    yield train_sides
    del sys.modules["train_sides"]


def test_without_switches_ours_takes_the_plain_compositions_steps(sides, monkeypatch):
    setting = sides.Setting(
        {"arch": "MeanScaleHyperprior", "N": 8, "M": 12},
        {"detector": "configs/mini/tasks/faster_rcnn.py", "checkpoint": "zoo://faster_rcnn"},
        2,
        (128, 192),
    )
    data = sides.batches(setting, 2)
    quick = sides.build(setting, "ours", "cpu")
    monkeypatch.setattr(sides, "TASK", {})
    plain = sides.build(setting, "plain", "cpu")
    ours = sides.build(setting, "ours", "cpu", amp="fp32")
    losses = []
    for side in (plain, ours, quick):
        torch.manual_seed(0)
        losses.append([side.step(batch) for batch in data])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[2] == pytest.approx(losses[0], rel=0.1)
    trained = plain.codec.g_a[0].weight, plain.codec.g_s[-1].weight
    own = ours.system.transmitter.g_a[0].weight, ours.system.receivers["shared"].g_s[-1].weight
    for expected, found in zip(trained, own, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)
