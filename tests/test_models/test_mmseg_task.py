"""Semantic segmentation behind the decoder: its loss reaches the picture, its maps are mmseg's."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from vcm_mt.checkpoint import fingerprint
from vcm_mt.curves.areas import class_areas
from vcm_mt.curves.counts import Counts
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics import SemanticMetric
from vcm_mt.models.tasks import MMSegTask
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

mmseg = pytest.importorskip("mmseg")
FPN = "vcm_mt::mini/tasks/sem_fpn.py"


@pytest.fixture(scope="module")
def pictures(mini):
    """Two pictures with maps of their classes."""
    DefaultScope.get_instance("test_mmseg_task", scope_name="vcm_mt")
    config = load_config("configs/_base_/mini_semantic.py")
    dataset = config.train_dataloader.dataset
    dataset.data_root = f"{mini}/"
    data = DATASETS.build(dataset)
    packed = [data[0], data[1]]
    x = torch.stack([one["inputs"][[2, 1, 0]].float() / 255 for one in packed])
    return x, [one["data_samples"] for one in packed]


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    task = MMSegTask(FPN, feature_weight=1.0, fold=True)
    task.freeze()
    return task


def test_the_map_has_the_objects(pictures):
    _, samples = pictures
    for sample in samples:
        classes = sample.gt_sem_seg.sem_seg[0]
        assert classes.shape == sample.img_shape
        masks = torch.from_numpy(sample.gt_instances.masks.masks)
        assert torch.equal(classes == 12, ~masks.bool().any(0))
        for label, mask in zip(sample.gt_instances.labels, masks, strict=True):
            assert (classes[mask.bool()] == label).float().mean() > 0.9


def test_losses_reach_the_picture_and_change_no_weight(pictures, task):
    x, samples = pictures
    before = fingerprint(task)
    x = x.clone().requires_grad_()
    losses = task.loss(x, x.detach() * 0.5, samples)
    assert set(losses) == {"decode.loss_ce", "loss_feature"}
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
        assert (gradient.flatten(1).abs().sum(1) > 0).all()
    assert fingerprint(task) == before


def test_its_gradient_is_the_slope(pictures):
    x, samples = pictures
    task = MMSegTask(FPN).double()
    task.freeze()
    small = x[:1, :, :64, :64].double()
    sample = samples[0].clone()
    sample.set_metainfo({"img_shape": (64, 64)})
    sample.gt_sem_seg = PixelData(sem_seg=sample.gt_sem_seg.sem_seg[:, :64, :64])
    task.geometry._batch = torch.cat  # without the cast to float32
    way = torch.randn(small.shape, generator=torch.Generator().manual_seed(1)).double()

    def value(step):
        return task.loss(small + step * way, None, [sample])["decode.loss_ce"]

    step = torch.zeros((), dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    numerical = (value(1e-6) - value(-1e-6)) / 2e-6
    torch.testing.assert_close(slope, numerical, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("size", [(256, 256), (201, 130)])
def test_its_maps_are_those_of_mmseg(pictures, task, size):
    x, samples = pictures
    picture = (255 * x[0]).round()[:, : size[0], : size[1]]
    sample = samples[0].clone()
    sample.set_metainfo({"img_shape": size, "ori_shape": size})
    found = task.predict(picture[None] / 255, [sample])[0].data
    segmentor = task.segmentor
    own = mmseg.structures.SegDataSample(metainfo={"ori_shape": size, "img_shape": size})
    with DefaultScope.overwrite_default_scope("mmseg"), torch.no_grad():
        bgr = picture[[2, 1, 0]].byte()
        (theirs,) = segmentor.test_step({"inputs": [bgr], "data_samples": [own]})
    assert found.shape == (1, *size)
    assert (found == theirs.pred_sem_seg.data).float().mean() > 0.9999


def test_the_score_is_mmsegs():
    from mmseg.evaluation import IoUMetric

    generator = np.random.default_rng(0)
    classes = [str(n) for n in range(5)]
    theirs = IoUMetric(iou_metrics=["mIoU"])
    theirs.dataset_meta = {"classes": classes}
    ours = SemanticMetric()
    ours.dataset_meta = {"classes": classes}
    samples = []
    for _ in range(4):
        found, true = (torch.from_numpy(generator.integers(0, 4, (1, 9, 7))) for _ in range(2))
        true[0, 0, :3] = 255
        samples.append({"pred_sem_seg": {"data": found}, "gt_sem_seg": {"data": true}})
    theirs.process(None, samples)
    ours.process(None, samples)
    assert 100 * ours.evaluate(4)["mIoU"] == pytest.approx(theirs.evaluate(4)["mIoU"], abs=0.005)


def test_pictures_are_resampled_by_their_areas():
    found = np.array([[0, 0], [1, 1]])
    areas = np.stack([class_areas(found, true, 2) for true in (found, 1 - found)])
    counts = Counts("mIoU", areas.reshape(2, -1).astype(float))
    scores = counts.score(np.array([[1, 0], [0, 1], [1, 1.0]]))
    assert scores.tolist() == pytest.approx([100, 0, 100 / 3])
    assert Counts.from_text(counts.to_text()).score() == counts.score()


def test_what_is_refused(pictures, task):
    x, samples = pictures
    bare = samples[0].clone()
    del bare.gt_sem_seg
    with pytest.raises(DataError, match="has no map of classes"):
        task.loss(x[:1], x[:1], [bare])
    other = samples[0].clone()
    other.gt_sem_seg = PixelData(sem_seg=other.gt_sem_seg.sem_seg[:, :5])
    with pytest.raises(DataError, match="256, 256"):
        task.loss(x[:1], x[:1], [other])
    other.gt_sem_seg = PixelData(sem_seg=samples[0].gt_sem_seg.sem_seg + 5)
    with pytest.raises(DataError, match="class number 17, and the segmenter knows 13"):
        task.loss(x[:1], x[:1], [other])
    with pytest.raises(ConfigError, match="come from mmseg::"):
        MMSegTask("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
    with pytest.raises(ConfigError, match="not both 0"):
        MMSegTask(FPN, loss_weight=0)
