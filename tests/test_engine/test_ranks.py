"""What two processes of one training hold and tell is the same."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from tests.two_processes import on_two
from vcm_mt.engine.hooks import unwrapped
from vcm_mt.engine.rate_target import RateTargetHook
from vcm_mt.training.run import train


@HOOKS.register_module()
class WatchHook(Hook):
    """Notes what a process computed in each step, what it logged of it, and its quantiles."""

    priority = "LOWEST"
    runner = None

    def __init__(self):
        self.steps = []

    def before_train(self, runner):
        """Be found."""
        WatchHook.runner, WatchHook.seen = runner, self

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Note."""
        scalars = runner.message_hub.log_scalars
        logged = {name: float(scalars[f"train/{name}"].current()) for name in _names(scalars)}
        entropy = unwrapped(runner).transmitter.entropy.entropy_bottleneck
        own = {name: float(value) for name, value in outputs.items()}
        self.steps.append((own, logged, entropy.quantiles.detach().clone()))


def _names(scalars):
    return [name.removeprefix("train/") for name in scalars if name.startswith("train/")]


def _watched(config, work_dir, *hooks):
    config.custom_hooks = [*config.custom_hooks, *hooks, {"type": "mmengine.WatchHook"}]
    train(config, work_dir, launcher="pytorch")
    return WatchHook.seen.steps


@pytest.fixture
def config(people_config):
    """Four steps of two processes, a picture each, a checkpoint after each second one."""
    people_config.train_cfg.max_iters = 4
    people_config.train_dataloader.batch_size = 1
    return people_config


def test_processes_that_draw_other_levels_log_and_save_as_one(config, tmp_path):
    config.model.update(gains=[0.5, 1.0, 2.0], lmbda=[0.1, 0.3, 0.5])
    steps = on_two(_watched, tmp_path, config, tmp_path / "w")
    apart = 0
    for (one, logged, quantiles), (other, there, quantiles_there) in zip(*steps, strict=True):
        apart += one.keys() != other.keys()
        for name in one | other:
            values = [own[name] for own in (one, other) if name in own]
            assert logged[name] == pytest.approx(sum(values) / len(values), rel=1e-6), name
            assert logged[name] == there[name], name
        assert torch.equal(quantiles, quantiles_there)  # also behind a checkpoint
    assert apart
    state = torch.load(tmp_path / "w" / "iter_4.pth", weights_only=True)["state_dict"]
    saved = state["transmitter.entropy.entropy_bottleneck.quantiles"]
    assert torch.equal(saved, quantiles)


def _measured(config, work_dir):
    """The rate that each process finds, of one picture and of all."""
    hooks = [{"type": "RateTargetHook", "bpp": 0.5, "pictures": count} for count in (1, 4)]
    _watched(config, work_dir, *hooks)
    hooks = [one for one in WatchHook.runner.hooks if isinstance(one, RateTargetHook)]
    return [one._measure(WatchHook.runner) for one in hooks]


def test_a_process_without_pictures_measures_what_the_other_does(config, mini, tmp_path):
    config.val_dataloader = Config.fromfile("configs/mini/stage1_det.py").val_dataloader
    config.val_dataloader.dataset.data_root = str(mini)
    config.val_cfg, config.val_evaluator = {"type": "ValLoop"}, [{"type": "CodingMetric"}]
    config.train_cfg.update(max_iters=2, val_interval=9)
    one, other = on_two(_measured, tmp_path, config, tmp_path / "w")
    assert one == other
    assert one[0] != one[1]
