"""Random transforms fall out by the draw's number, whoever does the work."""

import copy
import shutil
from itertools import islice

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from PIL import Image

from vcm_mt.datasets import sampler
from vcm_mt.datasets.loading import LoadPicture
from vcm_mt.training.run import train


def _loader(config, num_workers):
    loader = copy.deepcopy(config.train_dataloader)
    loader.num_workers = num_workers
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        return Runner.build_dataloader(loader, seed=0)


def test_a_resumed_runs_crops_are_those_of_an_undisturbed_one(people_config):
    batches = list(islice(_loader(people_config, num_workers=2), 8))
    resumed = _loader(people_config, num_workers=1)
    resumed.sampler.skip(4 * people_config.train_dataloader.batch_size)
    for before, after in zip(batches[4:], resumed, strict=False):
        assert all(
            torch.equal(*pair) for pair in zip(before["inputs"], after["inputs"], strict=True)
        )
    first, again = (  # three batches hold each of the six pictures once
        {sample.img_path: picture for b in part for picture, sample in _pairs(b)}
        for part in (batches[:3], batches[3:6])
    )
    assert first.keys() == again.keys()
    assert not all(torch.equal(first[path], again[path]) for path in first)  # other crops


class _Counted:
    """Counts the pictures that a process loads."""

    def __init__(self, monkeypatch):
        self.paths = []
        load = LoadPicture.transform

        def counted(step, results):
            self.paths.append(results["img_path"])
            return load(step, results)

        monkeypatch.setattr(LoadPicture, "transform", counted)


def _train(config, work_dir, **kwargs):
    """The pictures of each step, and their random crops."""
    seen = []

    @HOOKS.register_module(force=True)
    class SeenHook(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            paths = [sample.img_path for sample in data_batch["data_samples"]]
            seen.append((paths, [picture.clone() for picture in data_batch["inputs"]]))

    config = copy.deepcopy(config)
    config.custom_hooks.append({"type": "mmengine.SeenHook"})
    train(config, work_dir, **kwargs)
    return seen


def test_a_resume_loads_no_past_batch(people_config, mini, tmp_path, monkeypatch):
    """Of batches of upright pictures and others, whose draws cannot be told by their number."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, path in enumerate(sorted((mini / "train").glob("*.bmp"))):
        with Image.open(path) as picture:
            size = [(97, 128), (128, 97), (110, 90)][number % 3]
            picture.resize(size).save(folder / path.name)
    loader = people_config.train_dataloader
    loader.batch_sampler = {"type": "vcm_mt.AspectRatioBatchSampler"}
    loader.dataset = {
        "type": "PictureFolder", "data_root": str(folder), "pipeline": loader.dataset.pipeline,
    }  # fmt: skip
    people_config.train_cfg = {"type": "SkippingTrainLoop", "max_iters": 6}
    undisturbed = _train(people_config, tmp_path / "one")
    (tmp_path / "two").mkdir()
    for name in ("iter_4.pth", "last_checkpoint"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "two" / name)
    (tmp_path / "two" / "last_checkpoint").write_text(str(tmp_path / "two" / "iter_4.pth"))
    loaded = _Counted(monkeypatch)
    resumed = _train(people_config, tmp_path / "two", resume=True)
    assert len(undisturbed) == 6
    assert [paths for paths, _ in resumed] == [paths for paths, _ in undisturbed[4:]]
    for (_, pictures), (_, wanted) in zip(resumed, undisturbed[4:], strict=True):
        assert all(map(torch.equal, pictures, wanted))
    assert loaded.paths == [path for paths, _ in resumed for path in paths]
    sizes = [{Image.open(path).size for path in paths} for paths, _ in undisturbed]
    assert all(len({width < height for width, height in actual}) == 1 for actual in sizes)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_skipping_is_what_drawing_is(people_config, num_workers):
    people_config.train_dataloader.batch_sampler = {"type": "vcm_mt.AspectRatioBatchSampler"}
    batches = list(islice(_loader(people_config, num_workers), 8))
    resumed = _loader(people_config, num_workers)
    resumed.batch_sampler.skip(5)
    for before, after in zip(batches[5:], resumed, strict=False):
        assert all(map(torch.equal, before["inputs"], after["inputs"]))


def _pairs(batch):
    return zip(batch["inputs"], batch["data_samples"], strict=True)


@pytest.mark.parametrize(
    "own", [[[0, 1, 2, 3, 4, 5]], [[0, 1, 5], [2, 3, 4]], [[0, 1], [2, 3, 4], [5], []]]
)
def test_processes_share_out_whole_videos(own, monkeypatch):
    class Frames(list):
        get_data_info = list.__getitem__

    frames = Frames({"video_id": video} for video in (7, 7, 2, 2, 2, 5))
    for rank, numbers in enumerate(own):
        monkeypatch.setattr(sampler, "get_dist_info", lambda rank=rank: (rank, len(own)))
        found = sampler.VideoSampler(frames, seed=0)
        assert list(found) == numbers and len(found) == len(numbers)
