"""Trackers behind the decoder: their losses reach the picture, their tracks are followed."""

import pytest
import torch
from mmengine.registry import DefaultScope

from vcm_mt.checkpoint import fingerprint
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks import MMTrackTask
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

QDTRACK = "vcm_mt::mini/tasks/qdtrack.py"


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A clip of two frames with its annotations, and a video in order without them."""
    folder = tmp_path_factory.mktemp("videos")
    prepare_videos(folder, sizes={"train": (3, 6), "val": (3, 6)})
    DefaultScope.get_instance("test_mmtrack_task", scope_name="vcm_mt")
    config = load_config("configs/_base_/mini_videos.py")
    root = {"data_root": f"{folder}/"}
    clips = config.train_dataloader.dataset
    clips.update(frames=2, step=2)
    clips.dataset.update(root)
    videos = config.val_dataloader.dataset
    videos.update(root)
    return DATASETS.build(clips), DATASETS.build(videos)


@pytest.fixture(scope="module")
def qdtrack():
    task = MMTrackTask(QDTRACK, "zoo://qdtrack", feature_weight=1.0, fold=True, fast_roi_align=True)
    task.freeze()
    return task


def batch(packed):
    x = torch.stack([one["inputs"][[2, 1, 0]].float() / 255 for one in packed])
    return x, [one["data_samples"] for one in packed]


def test_losses_reach_both_frames_and_change_no_weight(frames, qdtrack):
    x, samples = batch(frames[0][1])
    before = fingerprint(qdtrack)
    x.requires_grad_()
    losses = qdtrack.loss(x, x.detach(), samples)
    assert {"loss_rpn_cls", "loss_cls", "loss_track", "loss_track_aux", "loss_feature"} <= set(
        losses
    )
    for wanted in ("loss_track", "loss_cls"):
        (gradient,) = torch.autograd.grad(losses[wanted], x, retain_graph=True)
        assert gradient.isfinite().all()
        assert (gradient.flatten(1).abs().sum(1) > 0).all(), wanted
    assert fingerprint(qdtrack) == before
    assert all(not p.requires_grad for p in qdtrack.parameters())


def test_frames_that_share_no_object_have_no_such_loss(frames, qdtrack):
    x, samples = batch(frames[0][1])
    samples[1].gt_instances.instances_ids += 100
    losses = qdtrack.loss(x, x, samples)
    assert float(losses["loss_track"]) == 0 and "loss_track_aux" not in losses


def test_it_follows_objects_and_begins_anew_with_a_video(frames, qdtrack):
    x, samples = batch([frames[1][n] for n in range(12)])
    found = qdtrack.predict(x, samples)
    assert all({"bboxes", "labels", "scores", "instances_id"} <= set(one.keys()) for one in found)
    followed = set(found[0].instances_id.tolist()) & set(found[5].instances_id.tolist())
    assert followed, "an object that is there in the first and the last frame"
    again = qdtrack.predict(x[6:], samples[6:])
    for one, other in zip(found[6:], again, strict=True):
        assert torch.equal(one.instances_id, other.instances_id)
        assert torch.equal(one.bboxes, other.bboxes)


def test_the_box_is_in_native_coordinates(frames, qdtrack):
    """The objects of the truth are found where they are."""
    truth = frames[1].frames if hasattr(frames[1], "frames") else frames[1]
    info = truth.get_data_info(3)
    x, samples = batch([frames[1][3]])
    (found,) = qdtrack.predict(x, samples)
    centres = (found.bboxes[:, :2] + found.bboxes[:, 2:]) / 2
    hits = 0
    for one in info["instances"]:
        left, top, right, bottom = one["bbox"]
        inside = (centres > torch.tensor([left, top])) & (centres < torch.tensor([right, bottom]))
        hits += bool(inside.all(1).any())
    assert hits >= len(info["instances"]) / 2


@pytest.mark.parametrize("name", ["bytetrack", "ocsort"])
def test_trackers_that_associate_boxes_need_no_weights_of_their_own(frames, name):
    task = MMTrackTask(f"vcm_mt::_base_/mini_{name}.py", "zoo://faster_rcnn")
    task.freeze()
    x, samples = batch([frames[1][n] for n in range(4)])
    assert all("instances_id" in one for one in task.predict(x, samples))
    x, samples = batch(frames[0][0])
    assert "loss_track" not in task.loss(x, None, samples)


def test_what_is_missing_is_told(frames, qdtrack):
    x, samples = batch(frames[0][0])
    with pytest.raises(DataError, match="clips of two frames or more"):
        qdtrack.loss(x[:1], x[:1], samples[:1])
    with pytest.raises(ConfigError, match="frames of a video"):
        samples[0].set_metainfo({"video_id": None})
        qdtrack.predict(x[:1], samples[:1])
    del samples[1].gt_instances.instances_ids
    with pytest.raises(DataError, match="LoadTrackAnnotations"):
        qdtrack.loss(x, x, samples)
    with pytest.raises(ConfigError, match="is no tracker"):
        MMTrackTask("vcm_mt::mini/tasks/faster_rcnn.py")
    with pytest.raises(ConfigError, match="zoo://retinanet"):
        MMTrackTask(QDTRACK, "zoo://retinanet")
