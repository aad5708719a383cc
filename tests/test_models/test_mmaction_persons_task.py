"""Actions of persons behind the decoder: loss and scores are mmaction2's, frames get a gradient."""

import json
import pickle
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from PIL import Image

from tests.person_clips import FRAMES, STEP, network, prepare_persons
from vcm_mt.checkpoint import fingerprint
from vcm_mt.config_path import config_path
from vcm_mt.datasets.mini.motions import MOTIONS
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics import TaskFrameActionMetric
from vcm_mt.metrics.judges import make_judge
from vcm_mt.models.tasks import MMActionPersonsTask, MMActionTask
from vcm_mt.models.tasks.detector_config import read_recognizer
from vcm_mt.models.tasks.mmaction_import import import_mmaction
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

if find_spec("mmaction") is None:
    pytest.skip("mmaction2 is not installed", allow_module_level=True)
import_mmaction()
PUBLISHED = "mmaction::detection/slowfast/" + (
    "slowfast_kinetics400-pretrained-r50_8xb8-8x8x1-20e_ava21-rgb.py"
)
LENGTH = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("persons")
    prepare_persons(place, {"train": (2, LENGTH), "val": (2, LENGTH)})
    return place


def frames_config(folder, split):
    config = load_config("configs/_base_/mini_motions.py").val_dataloader.dataset
    load, pack = config.pipeline
    config.update(
        data_root=f"{folder}/", ann_file=f"annotations/persons_{split}.json", test_mode=False,
        data_prefix={"img": f"{split}/"}, metainfo={"classes": MOTIONS},
        pipeline=[load, {"type": "vcm_mt.LoadAnnotations", "with_bbox": True}, pack],
    )  # fmt: skip
    return config


@pytest.fixture(scope="module")
def clips(folder):
    """Clips around key frames for training, and videos in order."""
    DefaultScope.get_instance("test_mmaction_persons_task", scope_name="vcm_mt")
    own = {"type": "ClipDataset", "frames": FRAMES, "step": STEP, "around": True}
    inner = frames_config(folder, "train")
    return DATASETS.build({**own, "dataset": inner}), DATASETS.build(frames_config(folder, "val"))


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    task = MMActionPersonsTask(network())
    task.freeze()
    return task


def batch(packed):
    x = torch.stack([one["inputs"][[2, 1, 0]].float() / 255 for one in packed])
    return x, [one["data_samples"] for one in packed]


def test_the_loss_reaches_every_frame_and_changes_no_weight(clips, task):
    packed = clips[0][1] + clips[0][len(clips[0]) - 1]
    x, samples = batch(packed)
    assert task.frames == FRAMES and [one.clip_place for one in samples] == 2 * [*range(FRAMES)]
    before = fingerprint(task)
    x.requires_grad_()
    losses = task.loss(x, None, samples)
    assert list(losses) == ["loss_action_cls"]
    (gradient,) = torch.autograd.grad(losses["loss_action_cls"], x)
    assert gradient.isfinite().all() and (gradient.flatten(1).abs().sum(1) > 0).all()
    assert fingerprint(task) == before and not any(p.requires_grad for p in task.parameters())
    task.train()
    assert not any(module.training for module in task.modules())


def test_its_gradient_is_the_slope(clips, monkeypatch):
    # mmaction2's labels are of single precision, and so would be the loss.
    functional, entropy = torch.nn.functional, torch.nn.functional.binary_cross_entropy_with_logits
    double = partial(_with_labels_like_scores, entropy)
    monkeypatch.setattr(functional, "binary_cross_entropy_with_logits", double)
    torch.manual_seed(1)
    task = MMActionPersonsTask(network()).double()
    task.freeze()
    x, samples = batch(clips[0][0])
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()

    def value(step):
        return task.loss(x.double() + step * way, None, samples)["loss_action_cls"]

    step = torch.zeros((), dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    numerical = (value(1e-6) - value(-1e-6)) / 2e-6
    torch.testing.assert_close(slope, numerical, rtol=1e-3, atol=1e-9)


def _with_labels_like_scores(entropy, scores, labels, **options):
    return entropy(scores, labels.to(scores), **options)


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


BOXES = [[12.0, 20.5, 80.0, 120.0], [70.25, 8.0, 110.0, 100.0], [3.0, 5.0, 40.0, 60.0]]


def test_what_it_tells_is_what_mmaction2_tells(clips, task, tmp_path):
    frames = [one["inputs"][[2, 1, 0]].permute(1, 2, 0).numpy()[:, :116] for one in
              (clips[1][n] for n in range(LENGTH))]  # fmt: skip
    keys = [1, 4, 10, LENGTH - 2, LENGTH - 1]
    told, when = seen(task, frames, keys, BOXES)
    # As soon as the clip around a key frame is complete.
    assert when == {key: min(key + STEP * (FRAMES // 2 - 1), LENGTH - 1) for key in keys}
    labels = [[1], [2, 3], [8]]
    packed = avas(frames, BOXES, labels, keys, network()["test_pipeline"], tmp_path)
    for key, one in zip(keys, packed, strict=True):
        data = {"inputs": [one["inputs"]], "data_samples": [one["data_samples"]]}
        with DefaultScope.overwrite_default_scope("mmdet"), torch.no_grad():
            (theirs,) = task.recognizer.test_step(data)
        scores = theirs.pred_instances.scores[:, 1:]
        assert told[key].shape == (3, 8) and scores.std(0).max() > 0.01  # persons differ
        torch.testing.assert_close(told[key], scores, rtol=0, atol=2e-3)
    assert (told[4] - told[10]).abs().max() > 0.005


def test_its_loss_is_mmaction2s(clips, task, tmp_path):
    frames = [one["inputs"][[2, 1, 0]].permute(1, 2, 0).numpy() for one in
              (clips[1][n] for n in range(LENGTH))]  # fmt: skip
    labels = [[1], [2, 3], [8]]
    (packed,) = avas(frames, BOXES, labels, [9], network()["test_pipeline"], tmp_path)
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
    torch.testing.assert_close(own, theirs, rtol=2e-3, atol=0)


def test_clips_of_different_sizes_are_one_batch(clips, task):
    x, samples = batch(clips[0][0] + clips[0][3])
    for sample in samples[FRAMES:]:
        sample.set_metainfo({"img_shape": (100, 90)})
    together = task.loss(x, None, samples)["loss_action_cls"]
    each = [task.loss(x[part], None, samples[part])["loss_action_cls"]
            for part in (slice(FRAMES), slice(FRAMES, None))]  # fmt: skip
    persons = [len(torch.unique(samples[n].gt_instances.bboxes.tensor, dim=0))
               for n in (FRAMES // 2, FRAMES + FRAMES // 2)]  # fmt: skip
    mean = sum(n * loss for n, loss in zip(persons, each, strict=True)) / sum(persons)
    torch.testing.assert_close(together, mean, rtol=1e-2, atol=0)


def test_boxes_of_a_file_are_looked_at(clips, tmp_path):
    path = tmp_path / "found.json"
    one = {"image_id": 12, "category_id": 1, "bbox": [10, 20, 50, 90], "score": 0.9}
    path.write_text(json.dumps([one, {**one, "category_id": 2}, {**one, "score": 0.1}]))
    task = MMActionPersonsTask(network(), boxes={"file": str(path), "score": 0.5})
    task.freeze()
    found = []
    for number in range(LENGTH):
        x, samples = batch([clips[1][number]])
        del samples[0].gt_instances
        found += [one for one in task.predict(x, samples) if one is not None]
    (persons,) = found
    assert persons.bboxes.tolist() == [[10, 20, 60, 110]] and persons.img_ids == [12]


def test_the_metric_judges_key_frames(clips, folder, task):
    file = f"{folder}/annotations/persons_val.json"
    metric = TaskFrameActionMetric("persons", file)
    metric.dataset_meta = {"classes": MOTIONS}
    own = Config({"type": "TaskFrameActionMetric", "ann_file": file})
    judge = make_judge("persons", own, MOTIONS)
    entries, silent = [], 0
    for number in range(2 * LENGTH):
        x, samples = batch([clips[1][number]])
        (found,) = task.predict(x, samples)
        silent += found is None
        if found is not None:
            # The truth itself in place of random scores.
            for place, img_id in enumerate(found.img_ids):
                box = found.bboxes[place]
                found.scores[place] = 0.1
                for one in judge.truth.imgToAnns[img_id]:
                    left, top, wide, tall = one["bbox"]
                    if torch.allclose(box, torch.tensor([left, top, left + wide, top + tall])):
                        found.scores[place, one["category_id"] - 1] = 0.9
            samples[0].set_field(found, "pred_persons")
        entries += judge.entries(samples[0].img_id, found, samples[0])
        metric.process(None, [samples[0].to_dict()])
    assert silent == 2 * STEP * (FRAMES // 2 - 1)  # of each video, until the first clip is complete
    assert {one["image_id"] for one in entries} == set(judge.truth.imgs)
    assert metric.evaluate(2 * LENGTH) == pytest.approx({"persons/fmAP": 1.0})
    units = [[*range(LENGTH)], [*range(LENGTH, 2 * LENGTH)]]
    assert judge.scores(entries, units)["persons_fmAP"].score(np.eye(2)) == pytest.approx(100)


def test_a_few_steps_of_stage_1_lower_the_loss(clips):
    torch.manual_seed(1)
    codec = {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}
    tasks = {"persons": {"type": "MMActionPersonsTask", "recognizer": network()}}
    system = VCMSystem(codec, tasks, lmbda=0.99, quantizer="round")
    before = fingerprint(system.tasks)
    x, samples = batch(clips[0][2])
    optimizer = torch.optim.Adam((p for p in system.parameters() if p.requires_grad), lr=3e-3)
    lost = []
    for _ in range(20):
        losses = system.loss(x, samples)
        optimizer.zero_grad()
        (losses["loss_rate"] + losses["loss_persons"]).backward()
        optimizer.step()
        lost.append(float(losses["persons/action_cls"]))
    assert lost[-1] < 0.9 * lost[0]
    assert fingerprint(system.tasks) == before


def test_clips_are_put_around_key_frames(clips, folder, tmp_path):
    data = clips[0]
    assert len(data) == 2 * (LENGTH - (FRAMES - 1) * STEP)
    assert data.get_data_info(0)["frame_id"] == STEP * FRAMES // 2
    told = json.loads((folder / "annotations" / "persons_train.json").read_text())
    for image in told["images"]:
        image["key_frame"] = image["frame_id"] == 9
    (tmp_path / "some.json").write_text(json.dumps(told))
    config = frames_config(folder, "train")
    config.ann_file = str(tmp_path / "some.json")
    own = {"type": "ClipDataset", "frames": FRAMES, "step": STEP, "around": True, "dataset": config}
    some = DATASETS.build(own)
    assert len(some) == 2
    assert [one["data_samples"].frame_id for one in some[0]] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert [one["data_samples"].key_frame for one in some[0]] == [n == 4 for n in range(FRAMES)]
    with pytest.raises(ConfigError, match="do not run backwards"):
        DATASETS.build({**own, "reverse": 0.5})
    told["annotations"] = []
    (tmp_path / "some.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="no key frame with objects has a clip of 8 frames"):
        DATASETS.build({**own, "dataset": config})
    with pytest.raises(DataError, match="no video is as long as a clip of 30 frames"):
        DATASETS.build({**own, "frames": 30, "dataset": config})


def test_what_is_refused(clips, task):
    x, samples = batch(clips[0][0])
    with pytest.raises(DataError, match=r"has 5 frames, and the recogniser takes 8: .*frames=8"):
        task.loss(x[:5], None, samples[:5])
    bare = [sample.clone() for sample in samples]
    key = bare[FRAMES // 2]
    key.gt_instances = key.gt_instances[:0]
    with pytest.raises(DataError, match=r"has no persons: use ClipDataset\(around=True\)"):
        task.loss(x, None, bare)
    del key.gt_instances
    with pytest.raises(DataError, match="comes without persons' boxes: put vcm_mt.LoadAnnotations"):
        task.loss(x, None, bare)
    wrong = [sample.clone() for sample in samples]
    wrong[FRAMES // 2].gt_instances.labels[0] = 8
    with pytest.raises(DataError, match=r"actions numbered \[.*8\], and the network knows 8"):
        task.loss(x, None, wrong)
    first = batch([clips[1][0]])
    second = batch([clips[1][2]])
    task.predict(*first)
    with pytest.raises(DataError, match="frame 2 of video 1 does not follow frame 0"):
        task.predict(*second)
    first[1][0].set_metainfo({"video_length": None})
    with pytest.raises(ConfigError, match="need the frames of a video"):
        task.predict(*first)
    unlabelled = batch([clips[1][0]])
    del unlabelled[1][0].gt_instances
    with pytest.raises(DataError, match="comes without persons' boxes"):
        task.predict(*unlabelled)


def test_networks_that_are_refused(task):
    with pytest.raises(ConfigError, match="MMActionTask takes recognisers of clips"):
        MMActionPersonsTask("vcm_mt::mini/tasks/slowfast.py")
    with pytest.raises(ConfigError, match="MMActionPersonsTask those of persons"):
        MMActionTask(PUBLISHED)
    plain = network()
    plain["model"]["roi_head"]["type"] = "StandardRoIHead"
    with pytest.raises(ConfigError, match="FastRCNN is no FastRCNN with an AVARoIHead"):
        MMActionPersonsTask(plain)
    cut = network()
    cut["test_pipeline"].insert(3, {"type": "CenterCrop", "crop_size": 64})
    with pytest.raises(ConfigError, match="persons would be cut off"):
        MMActionPersonsTask(cut)
    with pytest.raises(ConfigError, match='boxes are "truth"'):
        MMActionPersonsTask(network(), boxes="some")
    with pytest.raises(ConfigError, match="has no feature maps"):
        task.features(torch.zeros(1, 3, 32, 32))


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
