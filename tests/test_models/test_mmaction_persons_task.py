"""Actions of persons behind the decoder: the loss reaches every frame, key frames are judged."""

import json
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from tests.person_clips import FRAMES, STEP, network, prepare_persons
from vcm_mt.checkpoint import fingerprint
from vcm_mt.datasets.mini.motions import MOTIONS
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics import TaskFrameActionMetric
from vcm_mt.metrics.judges import make_judge
from vcm_mt.models.tasks import MMActionPersonsTask, MMActionTask
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
    bank = network()
    bank["model"]["roi_head"]["shared_head"] = {"type": "FBOHead"}
    with pytest.raises(ConfigError, match="a long-term feature bank"):
        MMActionPersonsTask(bank)
    cut = network()
    cut["test_pipeline"].insert(3, {"type": "CenterCrop", "crop_size": 64})
    with pytest.raises(ConfigError, match="persons would be cut off"):
        MMActionPersonsTask(cut)
    with pytest.raises(ConfigError, match='boxes are "truth"'):
        MMActionPersonsTask(network(), boxes="some")
    with pytest.raises(ConfigError, match="has no feature maps"):
        task.features(torch.zeros(1, 3, 32, 32))
