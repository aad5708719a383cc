"""Random transforms fall out by the draw's number, whoever does the work."""

import copy
from itertools import islice

import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner


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


def _pairs(batch):
    return zip(batch["inputs"], batch["data_samples"], strict=True)
