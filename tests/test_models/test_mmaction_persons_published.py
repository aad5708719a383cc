"""Losses and scores of persons' actions are those that mmaction2 computes of the same files."""

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from PIL import Image

from tests.person_clips import FRAMES, STEP, network
from vcm_mt.config_path import config_path
from vcm_mt.datasets.mini.motions import clip
from vcm_mt.models.tasks import MMActionPersonsTask
from vcm_mt.models.tasks.detector_config import read_recognizer
from vcm_mt.models.tasks.mmaction_import import import_mmaction

if find_spec("mmaction") is None:
    pytest.skip("mmaction2 is not installed", allow_module_level=True)
import_mmaction()
PUBLISHED = "mmaction::detection/slowfast/" + (
    "slowfast_kinetics400-pretrained-r50_8xb8-8x8x1-20e_ava21-rgb.py"
)
LENGTH = 20
BOXES = [[12.0, 20.5, 80.0, 120.0], [70.25, 8.0, 110.0, 100.0], [3.0, 5.0, 40.0, 60.0]]


def small(size):
    torch.manual_seed(0)
    task = MMActionPersonsTask(network(size))
    task.freeze()
    return task


@pytest.fixture(scope="module")
def frames():
    """A clip of the embedded motions, uint8 [128, 116, 3] each."""
    return [one.picture[:, :116].copy() for one in clip(0, "val", 3, LENGTH)]


class FrameSample:
    """A frame's data sample."""

    def __init__(self, size, number, length, boxes=None, labels=None, clip_place=0):
        self.img_shape = size
        self.metainfo = {"img_id": 100 + number, "img_path": f"{number}.png", "video_id": 7,
                         "frame_id": number, "video_length": length,
                         "clip_place": clip_place}  # fmt: skip
        if boxes is not None:
            self.gt_instances = InstanceData(bboxes=boxes, labels=labels)

    def get(self, name):
        return getattr(self, name, None)


def avas(frames, boxes, labels, keys, pipeline, folder):
    """Pictures, uint8 [H, W, 3], RGB, read and packed by mmaction2's own AVADataset.

    Args:
        boxes: Of all persons, in pixels, in each key frame.
        labels: Numbers of each one's actions, from 1.
        keys: Numbers of key frames, from 1 on: mmaction2 adds its start index twice.
    """
    from mmaction.datasets import AVADataset

    height, width = frames[0].shape[:2]
    (folder / "v").mkdir()
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / "v" / f"img_{number:05}.png")
    relative = np.asarray(boxes, np.float64) / [width, height, width, height]
    rows = [
        ["v", f"{key - 1:04}", *map(repr, box.tolist()), str(action), str(person)]
        for key in keys
        for person, (box, own) in enumerate(zip(relative, labels, strict=True))
        for action in own
    ]
    (folder / "v.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    proposals = {f"v,{key - 1:04}": relative for key in keys}
    (folder / "v.pkl").write_bytes(pickle.dumps(proposals))
    with DefaultScope.overwrite_default_scope("mmaction"):
        data = AVADataset(
            str(folder / "v.csv"), pipeline, filename_tmpl="img_{:05}.png", fps=1,
            proposal_file=str(folder / "v.pkl"), data_prefix={"img": str(folder)},
            timestamp_start=0, timestamp_end=len(frames), num_classes=81, test_mode=True,
        )  # fmt: skip
        return [data[number] for number in range(len(data))]


def seen(task, frames, keys, boxes):
    """What the task tells of the same pictures as a video: scores by key frame."""
    size, told, when = frames[0].shape[:2], {}, {}
    for number, frame in enumerate(frames):
        labels = torch.zeros(len(boxes), dtype=torch.int64)
        sample = FrameSample(size, number, len(frames), torch.tensor(boxes), labels)
        sample.metainfo["key_frame"] = number in keys
        x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        (found,) = task.predict(x, [sample])
        for img_id in dict.fromkeys([] if found is None else found.img_ids):
            own = found[torch.tensor([one == img_id for one in found.img_ids])]
            assert sorted(own.bboxes.tolist()) == sorted(boxes)
            order = [own.bboxes.tolist().index(box) for box in boxes]
            told[img_id - 100], when[img_id - 100] = own.scores[order], number
    return told, when


@pytest.mark.parametrize(("size", "near"), [(116, 1e-5), (96, 4e-3)])
def test_what_it_tells_is_what_mmaction2_tells(size, near, frames, tmp_path):
    """To rounding where frames keep their size; mmaction2 resizes whole levels, by cv2."""
    task = small(size)
    keys = [1, 4, 10, LENGTH - 2, LENGTH - 1]
    told, when = seen(task, frames, keys, BOXES)
    # As soon as the clip around a key frame is complete.
    assert when == {key: min(key + STEP * (FRAMES // 2 - 1), LENGTH - 1) for key in keys}
    labels = [[1], [2, 3], [8]]
    packed = avas(frames, BOXES, labels, keys, network(size)["test_pipeline"], tmp_path)
    for key, one in zip(keys, packed, strict=True):
        data = {"inputs": [one["inputs"]], "data_samples": [one["data_samples"]]}
        with DefaultScope.overwrite_default_scope("mmdet"), torch.no_grad():
            (theirs,) = task.recognizer.test_step(data)
        scores = theirs.pred_instances.scores[:, 1:]
        assert told[key].shape == (3, 8) and scores.std(0).max() > 0.01  # persons differ
        torch.testing.assert_close(told[key], scores, rtol=0, atol=near)
    assert (told[4] - told[10]).abs().max() > 0.005


def test_its_loss_is_mmaction2s(frames, tmp_path):
    task = small(116)
    labels = [[1], [2, 3], [8]]
    (packed,) = avas(frames, BOXES, labels, [9], network(116)["test_pipeline"], tmp_path)
    packed["data_samples"].gt_instances.labels = packed["data_samples"].gt_instances.labels[:, :9]
    with DefaultScope.overwrite_default_scope("mmdet"):
        from mmdet.registry import MODELS

        other = MODELS.build(read_recognizer(network()).model)
        other.load_state_dict(task.recognizer.state_dict())
        other.eval()
        data = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        theirs = other(**other.data_preprocessor(data, True), mode="loss")["loss_action_cls"]
    size, chosen = frames[0].shape[:2], range(9 - STEP * FRAMES // 2, 9 + STEP * FRAMES // 2, STEP)
    x = torch.stack([torch.from_numpy(frames[n]).permute(2, 0, 1).float() / 255 for n in chosen])
    samples = [FrameSample(size, n, LENGTH, clip_place=place) for place, n in enumerate(chosen)]
    # A person who does two things is two objects with one box.
    listed = torch.tensor([BOXES[0], BOXES[1], BOXES[2], BOXES[1]])
    samples[FRAMES // 2].gt_instances = InstanceData(
        bboxes=listed, labels=torch.tensor([0, 1, 7, 2])
    )
    own = task.loss(x, None, samples)["loss_action_cls"]
    assert own > 0.1
    torch.testing.assert_close(own, theirs, rtol=1e-5, atol=0)


@pytest.mark.slow
def test_slowfast_r50_at_its_real_size(tmp_path):
    torch.manual_seed(0)
    task = MMActionPersonsTask(PUBLISHED)
    task.freeze()
    generator = np.random.default_rng(0)
    scene = generator.integers(0, 256, (8, 11, 3), dtype=np.uint8)
    frames = [np.array(Image.fromarray(np.roll(scene, n, 1)).resize((340, 256))) for n in range(66)]
    boxes = [[30.0, 20.0, 120.0, 240.0], [150.0, 40.0, 300.0, 250.0]]
    pipeline = Config.fromfile(config_path(PUBLISHED)).val_pipeline
    told, when = seen(task, frames, [33], boxes)
    assert when == {33: 63}
    (packed,) = avas(frames, boxes, [[12], [14, 79]], [33], pipeline, tmp_path)
    data = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
    with DefaultScope.overwrite_default_scope("mmdet"), torch.no_grad():
        (theirs,) = task.recognizer.test_step(data)
    assert told[33].std(0).max() > 0.003
    torch.testing.assert_close(told[33], theirs.pred_instances.scores[:, 1:], rtol=0, atol=1e-4)
    x = torch.stack([torch.from_numpy(f).permute(2, 0, 1).float() / 255 for f in frames[1:65:2]])
    samples = [FrameSample((256, 340), n, 66, clip_place=place)
               for place, n in enumerate(range(1, 65, 2))]  # fmt: skip
    samples[16].gt_instances = InstanceData(
        bboxes=torch.tensor([boxes[0], boxes[1], boxes[1]]), labels=torch.tensor([11, 13, 78])
    )
    x.requires_grad_()
    task.loss(x, None, samples)["loss_action_cls"].backward()
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("acrn/slowfast-acrn_kinetics400-pretrained-r50_8xb8-8x8x1-cosine-10e_ava22-rgb.py", 80),
        ("slowonly/slowonly_kinetics700-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb.py", 80),
        ("slowfast/slowfast_kinetics400-pretrained-r50_8xb16-4x16x1-8e_multisports-rgb.py", 66),
    ],
)
def test_other_networks_of_mmaction2(name, actions):
    task = MMActionPersonsTask(f"mmaction::detection/{name}")
    task.freeze()
    x = torch.rand(task.frames, 3, 96, 128).requires_grad_()
    samples = [FrameSample((96, 128), n, task.frames, clip_place=n) for n in range(task.frames)]
    samples[task.frames // 2].gt_instances = InstanceData(
        bboxes=torch.tensor(BOXES[:2]), labels=torch.tensor([3, actions - 1])
    )
    (loss,) = task.loss(x, None, samples).values()
    loss.backward()
    assert task.actions == actions and loss > 0.1
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()
