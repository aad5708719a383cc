"""Masks that a loader's worker resizes: the loss does not change by a bit."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vcm_mt.models.tasks import MMDetTask
from vcm_mt.models.tasks.resized_masks import ResizedMasks, ResizeMasks
from vcm_mt.models.tasks.seeded_sampling import DRAW_SEED

SCALE = (333, 200)


def _masks(count=3, height=65, width=97):
    pixels = np.random.default_rng(0).integers(0, 2, (count, height, width), np.uint8)
    return BitmapMasks(pixels, height, width)


def _resized(masks, scale=SCALE):
    return ResizeMasks(scale)({"gt_masks": masks})["gt_masks"]


@pytest.fixture
def batches(stage1_config):
    """The same two pictures with masks as they are, and with masks resized by two workers."""

    def load(*more, num_workers=0):
        loader = copy.deepcopy(stage1_config.train_dataloader)
        *steps, pack = loader.dataset.pipeline
        loader.dataset.pipeline = [*steps, {"type": "mmdet.RandomFlip", "prob": 0.5}, *more, pack]
        loader.num_workers = num_workers
        with DefaultScope.overwrite_default_scope("vcm_mt"):
            return next(iter(Runner.build_dataloader(loader, seed=0)))

    ahead = {"type": "vcm_mt.ResizeMasks", "scale": SCALE, "keep_ratio": True}
    return load(), load(ahead, num_workers=2)


@pytest.mark.parametrize("scale", [SCALE, (256, 240), None])
def test_the_loss_is_the_same_to_the_bit(batches, scale, monkeypatch):
    """Of a task that resizes so, of one that resizes otherwise, and of one that does not."""
    resize = scale and {"scale": scale, "keep_ratio": True}
    task = MMDetTask("configs/mini/tasks/mask_rcnn.py", "zoo://mask_rcnn", resize=resize)
    task.freeze()
    resized, losses = [], []
    plain = BitmapMasks.resize

    def counted(masks, *args, **kwargs):
        resized[-1] += 1
        return plain(masks, *args, **kwargs)

    monkeypatch.setattr(BitmapMasks, "resize", counted)
    for batch in batches:
        samples = batch["data_samples"]
        for sample in samples:
            sample.set_metainfo({DRAW_SEED: 1})
        pictures = torch.stack([picture.flip(0).float() / 255 for picture in batch["inputs"]])
        resized.append(0)
        losses.append(task.loss(pictures, None, samples))
    assert losses[0]["loss_mask"] > 0
    assert all(torch.equal(value, losses[1][name]) for name, value in losses[0].items())
    if scale == SCALE:
        assert resized[0] > 0 == resized[1]  # nothing is left for the training's process


def test_they_are_the_native_ones_everywhere_else():
    plain = _masks()
    plain.masks[1] = 0
    plain.masks[2, :20] = plain.masks[2, :, 50:] = 0
    masks = _resized(plain)
    for one in (masks, pickle.loads(pickle.dumps(masks)), copy.deepcopy(masks)):
        assert isinstance(one, ResizedMasks)
        assert np.array_equal(one.masks, plain.masks)
        assert np.array_equal(one.resize((199, 297)).masks, plain.resize((199, 297)).masks)
        for size in ((200, 298), (200, 299), (31, 40)):
            assert np.array_equal(one.resize(size).masks, plain.resize(size).masks)
    chosen = np.array([True, False, True])
    assert np.array_equal(masks[chosen].resize((200, 298)).masks,
                          plain[chosen].resize((200, 298)).masks)  # fmt: skip
    flipped = masks.flip().resize((200, 298))
    assert np.array_equal(flipped.masks, plain.flip().resize((200, 298)).masks)


def test_pictures_without_masks_pass():
    nothing = _resized(_masks(count=0))
    assert len(pickle.loads(pickle.dumps(nothing)).resize((200, 298))) == 0
    assert ResizeMasks(SCALE)({"img_path": "a.png"}) == {"img_path": "a.png"}
    polygons = PolygonMasks([], 65, 97)
    assert _resized(polygons) is polygons
