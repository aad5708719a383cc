"""Batches of several data sets, each for its tasks."""

import pytest
import torch
from mmengine.registry import DefaultScope

from vcm_mt.apis.system import build_system
from vcm_mt.datasets.clips import flat_collate
from vcm_mt.datasets.sampler import Draw
from vcm_mt.errors import ConfigError
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config


@pytest.fixture
def pictures(mini):
    DefaultScope.get_instance("test_mixture", scope_name="vcm_mt")
    config = load_config("configs/_base_/mini_coco.py").train_dataloader.dataset
    config.data_root = f"{mini}/"
    return config


def drawn(index, *words):
    draw = Draw(index)
    draw.words = words
    return draw


def test_a_batch_is_of_one_source_and_for_its_tasks(pictures):
    sources = {
        "one": {"dataset": pictures, "count": 2, "tasks": ["det", "segm"]},
        "other": {"dataset": pictures, "count": 1, "tasks": ["human"]},
    }
    mixture = DATASETS.build({"type": "vcm_mt.TaskMixture", "sources": sources})
    size = len(mixture.sources[0])
    assert len(mixture) == 2 * size
    batches = [mixture[drawn(n, 0, n)] for n in range(4)]
    assert [len(batch) for batch in batches] == [2, 1, 2, 1]
    told = [[one["data_samples"].for_tasks for one in batch] for batch in batches]
    assert told[0] == [("det", "segm")] * 2 and told[1] == [("human",)]
    paths = [one["data_samples"].img_path for batch in batches[::2] for one in batch]
    assert len(set(paths)) == min(4, size)
    for wrong in ({}, {"one": {"dataset": pictures, "tasks": []}}):
        with pytest.raises(ConfigError):
            DATASETS.build({"type": "vcm_mt.TaskMixture", "sources": wrong})


def test_a_task_sees_the_samples_that_are_for_it(pictures, mini):
    config = load_config("configs/mini/stage1_track.py")
    people = {"type": "HumanTask"}
    config.model = {
        "type": "VCMSystem",
        "codec": {"arch": "MeanScaleHyperprior", "N": 16, "M": 24},
        "tasks": {"people": people, "others": people},
        "lmbda": 0.5,
        "quality": 3,
    }
    system = build_system(config)
    data = DATASETS.build(pictures)
    packed = flat_collate([[data[0], data[1]]])
    batch = system.data_preprocessor(packed)
    x, samples = batch["inputs"], batch["data_samples"]
    both = system.loss(x, samples)
    assert {"loss_people", "loss_others"} <= set(both)
    samples[0].set_metainfo({"for_tasks": ("people",)})
    samples[1].set_metainfo({"for_tasks": ("others",)})
    pictures = {"shared": torch.stack([x[0] * 0.5, x[1]])}
    apart = system.task_losses(pictures, x, samples)
    assert apart["loss_others"] < 1e-6 < apart["loss_people"]
    samples[0].set_metainfo({"for_tasks": ("others",)})
    assert not any(name.startswith("loss_people") for name in system.loss(x, samples))
