"""The feature distance on maps that are computed by hand."""

import pytest
import torch

from vcm_mt.models.tasks.features import boxes_to_map, feature_distance


def test_boxes_become_ones_on_every_pixel_that_they_touch():
    like = torch.zeros(())
    boxes = [torch.tensor([[1.5, 0.0, 3.2, 2.0]]), torch.zeros(0, 4)]
    inside = boxes_to_map(boxes, (4, 5), like)
    assert inside.shape == (2, 1, 4, 5)
    assert inside[0, 0].tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0] * 5, [0] * 5]
    assert not inside[1].any()


def test_the_distance_is_the_weighted_relative_error():
    want = [torch.ones(1, 2, 2, 2)]
    got = [torch.ones(1, 2, 2, 2)]
    got[0][0, 0, 0, 0] = 3.0  # a foreground cell, error 4
    got[0][0, 1, 1, 1] = 2.0  # a background cell, error 1
    foreground = torch.zeros(1, 1, 4, 4)
    foreground[..., :2, :2] = 1
    everywhere = feature_distance(got, want, foreground)
    assert everywhere.item() == pytest.approx((4 + 1) / 8)
    weighted = feature_distance(got, want, foreground, background=0.5)
    assert weighted.item() == pytest.approx((4 + 0.5 * 1) / (2 + 0.5 * 6))
    objects_alone = feature_distance(got, want, foreground, background=0.0)
    assert objects_alone.item() == pytest.approx(4 / 2)


def test_a_batch_without_any_object_is_no_division_by_zero():
    maps = [torch.rand(2, 3, 4, 4, requires_grad=True)]
    nothing = torch.zeros(2, 1, 8, 8)
    distance = feature_distance(maps, [torch.rand(2, 3, 4, 4)], nothing, background=0.0)
    distance.backward()
    assert distance.item() == 0
    assert torch.isfinite(maps[0].grad).all()


def test_the_mean_is_over_the_maps():
    want = [torch.ones(1, 1, 2, 2), torch.ones(1, 1, 1, 1)]
    got = [torch.full((1, 1, 2, 2), 2.0), torch.ones(1, 1, 1, 1)]
    distance = feature_distance(got, want, torch.ones(1, 1, 2, 2))
    assert distance.item() == pytest.approx(0.5)


def test_a_pictures_distance_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    got, want = (
        [torch.rand(2, 3, 4, 4)],
        [torch.tensor([1.0, 9.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)],
    )
    everywhere = torch.ones(2, 1, 8, 8)
    alone = [
        feature_distance([got[0][i : i + 1]], [want[0][i : i + 1]], everywhere[:1]) for i in (0, 1)
    ]
    together = feature_distance(got, want, everywhere)
    assert together.item() == pytest.approx(sum(alone).item() / 2)
