"""Actions behind the decoder: the loss reaches every frame; what is told is mmaction2's."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from vcm_mt.checkpoint import fingerprint
from vcm_mt.config_path import config_path
from vcm_mt.datasets.mini.motion_writer import prepare_motions
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics import TaskActionMetric
from vcm_mt.metrics.judges import make_judge
from vcm_mt.models.tasks import MMActionTask
from vcm_mt.models.tasks.mmaction_import import import_mmaction
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

if find_spec("mmaction") is None:
    pytest.skip("mmaction2 is not installed", allow_module_level=True)
import_mmaction()
SLOWFAST = "vcm_mt::mini/tasks/slowfast.py"
PUBLISHED = "mmaction::recognition/slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("motions")
    prepare_motions(place, sizes={"train": (3, 16), "val": (2, 16)})
    return place


@pytest.fixture(scope="module")
def clips(folder):
    """Clips for training, and videos in order."""
    DefaultScope.get_instance("test_mmaction_task", scope_name="vcm_mt")
    config = load_config("configs/_base_/mini_motions.py")
    inner = config.train_dataloader.dataset
    inner.dataset.data_root = config.val_dataloader.dataset.data_root = f"{folder}/"
    return DATASETS.build(inner), DATASETS.build(config.val_dataloader.dataset)


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    task = MMActionTask(SLOWFAST)
    task.freeze()
    return task


def batch(packed):
    x = torch.stack([one["inputs"][[2, 1, 0]].float() / 255 for one in packed])
    return x, [one["data_samples"] for one in packed]


def test_the_loss_reaches_every_frame_and_changes_no_weight(clips, task):
    x, samples = batch(clips[0][1])
    assert len(x) == task.frames == 16 and samples[0].action == 1
    before = fingerprint(task)
    x.requires_grad_()
    losses = task.loss(x, None, samples)
    (gradient,) = torch.autograd.grad(losses["loss_cls"], x)
    assert gradient.isfinite().all() and (gradient.flatten(1).abs().sum(1) > 0).all()
    assert fingerprint(task) == before


def test_its_gradient_is_the_slope(clips):
    task = MMActionTask(SLOWFAST).double()
    task.freeze()
    x, samples = batch(clips[0][0])
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()

    def value(step):
        return task.loss(x.double() + step * way, None, samples)["loss_cls"]

    step = torch.zeros((), dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    numerical = (value(1e-6) - value(-1e-6)) / 2e-6
    torch.testing.assert_close(slope, numerical, rtol=1e-3, atol=1e-9)


def mmactions(task, config, frames):
    """What mmaction2's own pipeline and network make of pictures, uint8 [H, W, 3], RGB."""
    from mmaction.datasets.transforms import RawFrameDecode
    from mmengine.dataset import Compose

    class Given(RawFrameDecode):
        def transform(self, results):
            numbers = np.squeeze(results["frame_inds"])
            results["imgs"] = [frames[number].copy() for number in numbers]
            results["original_shape"] = results["img_shape"] = frames[0].shape[:2]
            return results

    steps = [s for s in config.test_pipeline if not s["type"].startswith(("Decord", "RawFrame"))]
    with DefaultScope.overwrite_default_scope("mmaction"), torch.no_grad():
        pipeline = Compose(steps)
        pipeline.transforms.insert(1, Given())
        about = {"total_frames": len(frames), "start_index": 0, "modality": "RGB"}
        packed = pipeline(about)
        data = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        (found,) = task.recognizer.test_step(data)
    return found.pred_score


def seen(task, frames):
    """What the task tells of the same pictures as a video."""
    size = frames[0].shape[:2]
    found = None
    for number, frame in enumerate(frames):
        sample = DefaultSample(size, number, len(frames))
        x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        assert found is None
        (found,) = task.predict(x, [sample])
    return found


class DefaultSample:
    """A frame's data sample."""

    def __init__(self, size, number, length):
        self.img_shape = size
        self.metainfo = {"video_id": 7, "frame_id": number, "video_length": length}


def test_what_it_tells_is_what_mmaction2_tells(clips, task):
    x, _ = batch(clips[0][2])
    frames = [one.permute(1, 2, 0).mul(255).round().byte().numpy() for one in x]
    theirs = mmactions(task, Config.fromfile(config_path(SLOWFAST)), frames)
    found = seen(task, frames)
    assert found.scores.shape == (1, 8) and int(found.labels[0]) == int(theirs.argmax())
    torch.testing.assert_close(found.scores[0], theirs, rtol=0, atol=2e-3)


@pytest.mark.slow
def test_slowfast_r50_at_its_real_size(clips):
    task = MMActionTask(PUBLISHED)
    task.freeze()
    generator = np.random.default_rng(0)
    scene = generator.integers(0, 256, (8, 11, 3), dtype=np.uint8)
    frames = [
        np.asarray(Image.fromarray(np.roll(scene, n, 1)).resize((340, 256))) for n in range(70)
    ]
    config = Config.fromfile(config_path(PUBLISHED))
    theirs = mmactions(task, config, frames)  # ten clips, three crops of each
    torch.testing.assert_close(seen(task, frames).scores[0], theirs, rtol=0, atol=1e-3)
    x = torch.stack([torch.from_numpy(f).permute(2, 0, 1).float() / 255 for f in frames[:32]])
    samples = [DefaultSample((256, 340), n, 32) for n in range(32)]
    for number, sample in enumerate(samples):
        sample.metainfo |= {"clip_place": number, "action": 3}
    x.requires_grad_()
    task.loss(x, None, samples)["loss_cls"].backward()
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.slow
def test_motion_is_what_the_zoos_recogniser_sees(tmp_path):
    prepare_motions(tmp_path, sizes={"train": (1, 16), "val": (48, 16)})
    task = MMActionTask(SLOWFAST, "zoo://slowfast")
    task.freeze()
    mixed = np.random.default_rng(1).permutation(16)
    right = {"as they are": 0, "mixed": 0, "the first again and again": 0, "backwards": 0}
    for number, folder in enumerate(sorted((tmp_path / "val").iterdir())):
        frames = [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]
        orders = (range(16), mixed, [0] * 16, range(15, -1, -1))
        for name, order in zip(right, orders, strict=True):
            found = seen(task, [frames[place] for place in order])
            right[name] += int(found.labels[0]) == number % 8
    told = {name: 100 * count / 48 for name, count in right.items()}
    print(told)
    assert told["as they are"] > 80
    assert max(told["mixed"], told["the first again and again"], told["backwards"]) < 55


def test_the_metric_counts_videos(clips, folder, task):
    metric = TaskActionMetric("action", f"{folder}/annotations/val.json")
    own = Config({"type": "TaskActionMetric", "ann_file": metric.ann_file})
    judge = make_judge("action", own, ("figure",))
    x, samples = batch([clips[1][n] for n in range(32)])
    entries, units = [], [[n for n in range(16)], [n for n in range(16, 32)]]
    for number, sample in enumerate(samples):
        (found,) = task.predict(x[number : number + 1], [sample])
        assert (found is None) == (number not in (15, 31))
        if found is not None:
            sample.set_field(found, "pred_action")
        entries += judge.entries(number, found, sample)
    metric.process(None, [sample.to_dict() for sample in samples])
    right = [entry["action"] == entry["true"] for entry in entries]
    assert len(right) == 2 and [entry["true"] for entry in entries] == [0, 1]
    assert metric.evaluate(32) == {"action/top1": sum(right) / 2}
    counts = judge.scores(entries, units)["action_top1"]
    assert counts.score(np.eye(2)).tolist() == [100.0 * one for one in right]


def test_what_is_refused(clips, folder, task, tmp_path):
    x, samples = batch(clips[0][0])
    with pytest.raises(DataError, match=r"has 5 frames, and the recogniser takes 16: .*frames=16"):
        task.loss(x[:5], None, samples[:5])
    bare = [sample.clone() for sample in samples]
    bare[0].set_metainfo({"action": None})
    with pytest.raises(DataError, match="is of no action"):
        task.loss(x, None, bare)
    bare[0].set_metainfo({"action": 8})
    with pytest.raises(DataError, match="action number 8, and the recogniser knows 8"):
        task.loss(x, None, bare)
    first = DefaultSample((128, 128), 0, 16)
    task.predict(x[:1], [first])
    with pytest.raises(DataError, match="frame 2 of video 7 does not follow frame 0"):
        task.predict(x[:1], [DefaultSample((128, 128), 2, 16)])
    first.metainfo = {}
    with pytest.raises(ConfigError, match="need the frames of a video"):
        task.predict(x[:1], [first])
    with pytest.raises(ConfigError, match="`model` and `test_pipeline`"):
        MMActionTask({"type": "Recognizer3D"})
    told = json.loads((folder / "annotations" / "val.json").read_text())
    told["videos"][0]["action_id"] = 77
    (tmp_path / "val.json").write_text(json.dumps(told))
    config = load_config("configs/_base_/mini_motions.py").val_dataloader.dataset
    config.data_root = f"{folder}/"
    config.ann_file = str(tmp_path / "val.json")
    with pytest.raises(DataError, match="is of action 77, and the file names 8 others"):
        DATASETS.build(config)
