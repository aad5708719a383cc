"""Training without labels: what the frozen network finds in originals is its truth."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import MMDetTask

MINI = {"detector": "configs/mini/tasks/faster_rcnn.py", "checkpoint": "zoo://faster_rcnn"}


@pytest.fixture(scope="module")
def task():
    own = MMDetTask(**MINI, truth="own", score=0.5)
    own.freeze()
    return own


@pytest.fixture
def pictures(mini):
    """Two pictures of the embedded set, and data samples without ground truth."""
    from vcm_mt.apis.pictures import read_picture

    paths = sorted((mini / "val").glob("*.bmp"))[:2]
    sizes = {"img_shape": (256, 256), "ori_shape": (256, 256)}
    samples = [BaseDataElement(metainfo={"img_path": str(path), **sizes}) for path in paths]
    return torch.cat([read_picture(path) for path in paths]), samples


@pytest.fixture
def calls(task, monkeypatch):
    """Counts predictions."""
    made, predict = [], task.predict
    monkeypatch.setattr(task, "predict", lambda *a: made.append(0) or predict(*a))
    monkeypatch.setattr(task._own, "_known", {})
    return made


def test_the_loss_is_that_of_the_predictions(task, pictures):
    x, samples = pictures
    x_hat = (x + 0.1 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    labelled = MMDetTask(**MINI)
    labelled.freeze()
    given = [task.own_truth(x[k : k + 1], sample, 0.5) for k, sample in enumerate(samples)]
    for sample in given:
        assert len(sample.gt_instances) > 0
    wanted = labelled.loss(x_hat, x, given)
    actual = task.loss(x_hat, x, given)
    assert all(torch.equal(actual[name], value) for name, value in wanted.items())
    own = task._own.samples(x, samples)
    for one, other in zip(own, given, strict=True):
        assert torch.equal(one.gt_instances.bboxes, other.gt_instances.bboxes)
        assert torch.equal(one.gt_instances.labels, other.gt_instances.labels)


def test_a_picture_is_looked_at_once_for_each_flip(task, pictures, calls):
    x, samples = pictures
    for _ in range(2):
        task.loss(x, x, samples)
    assert len(calls) == 2
    task.loss(x.flip(3), x.flip(3), samples)  # their samples tell nothing of it, as COCO's do
    assert len(calls) == 4
    left, right = (task._own.samples(one, samples) for one in (x, x.flip(3)))
    assert len(calls) == 4
    boxes, mirrored = left[0].gt_instances.bboxes, right[0].gt_instances.bboxes
    assert not torch.equal(boxes, mirrored)


def test_crops_are_looked_at_each_time(task, pictures, calls):
    x, samples = pictures
    for sample in samples:
        sample.set_metainfo({"img_shape": (128, 160)})
    for _ in range(2):
        task.loss(x[..., :128, :160], x[..., :128, :160], samples)
    assert len(calls) == 4


def test_originals_are_needed(task, pictures):
    with pytest.raises(ConfigError, match='truth="own" looks at the original'):
        task.loss(pictures[0], None, pictures[1])


def test_other_truths_are_refused():
    with pytest.raises(ConfigError, match='"labels" or "own", not "teacher"|not \'teacher\''):
        MMDetTask(**MINI, truth="teacher")
