"""Entropy tables are built where weights moved or there are none, and else kept."""

import copy

import pytest
import torch
from mmengine.runner import Runner

from vcm_mt.apis.codec import Transmitter
from vcm_mt.training.run import train


@pytest.fixture
def config(stage1_config):
    """Two steps of a codec for people, then its test."""
    config = stage1_config
    config.model.tasks = {"people": {"type": "HumanTask"}}
    config.val_evaluator = config.test_evaluator = [{"type": "CodingMetric"}]
    config.train_cfg.update(max_iters=2, val_interval=9)
    return config


def test_a_codec_without_tables_is_tested(config, tmp_path):
    config.work_dir = str(tmp_path)
    assert Runner.from_cfg(config).test()["bpp"] > 0


def test_a_checkpoint_is_tested_with_its_own_tables(config, tmp_path, monkeypatch):
    train(copy.deepcopy(config), tmp_path / "w")
    sent = Transmitter.load(tmp_path / "w", device="cpu").fingerprint
    config.work_dir, config.load_from = str(tmp_path / "test"), str(tmp_path / "w" / "iter_2.pth")
    runner = Runner.from_cfg(config)

    def build(self):
        raise AssertionError("its streams could not be decoded any more")

    monkeypatch.setattr("vcm_mt.bitstream.entropy.Hyperprior.update_tables", build)
    assert runner.test()["bpp"] > 0
    assert runner.model.transmitter.fingerprint() == sent


def test_what_was_trained_since_is_tested_with_new_tables(config, tmp_path):
    config.work_dir = str(tmp_path)
    config.default_hooks.checkpoint.interval = config.train_cfg.val_begin = 9
    config.optim_wrapper.main.optimizer.lr, config.param_scheduler = 0.1, None
    runner = Runner.from_cfg(config)
    with torch.no_grad():  # so that the latent is not all zeros
        runner.model.transmitter.g_a[-1].weight.mul_(20)
    runner.model.update_tables()
    (*_, last) = runner.model.transmitter.entropy.integer_h_s.layers
    before = last.bias.clone()
    runner.train()
    runner.test()
    tested = last.bias.clone()
    assert not torch.equal(tested, before)
    runner.model.update_tables()
    assert torch.equal(last.bias, tested)
