"""Steps that are not finite are skipped, told, and end a training when there are too many."""

import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from vcm_mt.apis.system import build_system
from vcm_mt.engine.finite import FiniteAmpOptimWrapper, FiniteOptimWrapper
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.errors import TrainingError
from vcm_mt.models.tasks.human import HumanTask
from vcm_mt.training.run import train


def _wrapper(counts=1, kind=FiniteOptimWrapper, **kwargs):
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    return network, kind(
        optimizer=optimizer, accumulative_counts=counts, clip_grad={"max_norm": 1.0}, **kwargs
    )


def _state(network, wrapper):
    return copy.deepcopy((network.state_dict(), wrapper.state_dict()))


def _same(one, other):
    return str(one) == str(other)  # every value of a network this small is printed


_BAD = {
    "nan loss": lambda y: y.sum() * math.nan,
    "infinite loss": lambda y: y.sum() / 0,
    "infinite loss, finite gradients": lambda y: y.sum() + math.inf,
    "finite loss, nan gradients": lambda y: (y - y.detach()).abs().sqrt().sum(),
    "finite gradients, infinite norm": lambda y: 5e37 * (y - y.detach()).sum(),
}


@pytest.mark.parametrize("name", _BAD)
def test_a_bad_step_changes_nothing_and_the_next_good_one_counts(name):
    network, wrapper = _wrapper()
    x = torch.rand(5, 3)
    wrapper.update_params(network(x).sum())
    before = _state(network, wrapper)
    for number in (1, 2, 3):
        wrapper.update_params(_BAD[name](network(x)))
        assert wrapper.skipped == number
        assert _same(_state(network, wrapper), before)
        assert all(p.grad is None for p in network.parameters())
    wrapper.update_params(network(x).sum())
    assert wrapper.skipped == 0
    assert not _same(_state(network, wrapper), before)


def test_good_steps_are_mmengines_bit_for_bit():
    networks = []
    for kind in (FiniteOptimWrapper, OptimWrapper):
        network, wrapper = _wrapper(counts=2, kind=kind)
        for x in torch.rand(6, 5, 3, generator=torch.Generator().manual_seed(1)):
            wrapper.update_params(network(x).square().mean())
        networks.append(network.state_dict())
    assert all(torch.equal(value, networks[1][key]) for key, value in networks[0].items())


def test_one_bad_batch_spoils_the_accumulated_step_that_it_is_part_of():
    network, wrapper = _wrapper(counts=3)
    x = torch.rand(5, 3)
    before = _state(network, wrapper)
    for factor in (1, math.nan, 1):
        wrapper.update_params(network(x).sum() * factor)
    assert wrapper.skipped == 1
    assert _same(_state(network, wrapper), before)
    for _ in range(3):
        wrapper.update_params(network(x).sum())
    assert wrapper.skipped == 0
    assert not _same(_state(network, wrapper), before)


@pytest.fixture
def _scaler_on_cpu(monkeypatch):
    """mmengine's half precision asks for a GPU; the loss scaler itself does not."""
    from mmengine.optim.optimizer import amp_optimizer_wrapper as module

    monkeypatch.setattr(module, "is_cuda_available", lambda: True)
    monkeypatch.setattr(module, "GradScaler", lambda **kw: torch.amp.GradScaler("cpu", **kw))


@pytest.mark.usefixtures("_scaler_on_cpu")
def test_the_loss_scaler_lowers_its_scale_first():
    network, wrapper = _wrapper(kind=FiniteAmpOptimWrapper, loss_scale={"init_scale": 4.0})
    x = torch.rand(5, 3)
    before = copy.deepcopy(network.state_dict())
    scales, skipped = [], []
    for _ in range(5):
        wrapper.update_params(network(x).sum() * math.nan)
        scales.append(wrapper.loss_scaler.get_scale())
        skipped.append(wrapper.skipped)
    assert scales == [2, 1, 0.5, 0.25, 0.125]
    assert skipped == [0, 0, 1, 2, 3]
    assert _same(network.state_dict(), before)
    wrapper.update_params(network(x).sum())
    assert wrapper.skipped == 0
    assert not _same(network.state_dict(), before)


class _SometimesNaN:
    """HumanTask's loss, spoilt at the steps that are named."""

    def __init__(self, monkeypatch, steps):
        self.calls = 0
        whole = HumanTask.loss

        def loss(task, *args):
            self.calls += 1
            actual = whole(task, *args)
            return {k: v * math.nan if self.calls in steps else v for k, v in actual.items()}

        monkeypatch.setattr(HumanTask, "loss", loss)


def _end_after(config, skipped):
    (hook,) = (one for one in config.custom_hooks if one.type == "FiniteStepsHook")
    hook.max_skipped = skipped


def test_a_training_goes_on_over_bad_steps(people_config, tmp_path, monkeypatch, capfd):
    _SometimesNaN(monkeypatch, {2, 3, 6})
    _end_after(people_config, 3)
    train(people_config, tmp_path)
    state = torch.load(tmp_path / "iter_6.pth", weights_only=True)
    assert all(v.isfinite().all() for v in state["state_dict"].values() if v.is_floating_point())
    told = "".join(capfd.readouterr())
    for number in (2, 3, 6):
        assert f"iteration {number}: step skipped, loss nan on " in told


def test_too_many_end_it_and_name_batch_and_checkpoint(people_config, tmp_path, monkeypatch):
    _SometimesNaN(monkeypatch, {1, 3, 4, 5, 6})
    _end_after(people_config, 3)
    with pytest.raises(TrainingError, match=r"3 steps .*iteration 5: loss nan") as told:
        train(people_config, tmp_path)
    assert str(told.value).count(".bmp") == 2
    assert f"{tmp_path / 'iter_4.pth'}: when" in str(told.value)
    assert "--resume" in str(told.value)


def test_a_skipped_step_leaves_the_whole_system_untouched(people_config, monkeypatch):
    system, batches, optimizers = _system(people_config, counts=1)
    system.train_step(batches[0], optimizers)
    before = copy.deepcopy(system.state_dict())
    _SometimesNaN(monkeypatch, {1})
    system.train_step(batches[1], optimizers)
    assert all(torch.equal(v, before[k]) for k, v in system.state_dict().items())
    system.train_step(batches[1], optimizers)
    assert not torch.equal(system.transmitter.g_a[0].weight, before["transmitter.g_a.0.weight"])


def _system(config, counts):
    config = copy.deepcopy(config)
    config.model.amp = False
    config.model.quantizer = "round"  # no noise, which a batch of two would draw otherwise
    torch.manual_seed(0)
    system = build_system(config).train()
    pictures = (torch.rand(2, 3, 64, 128) * 255).to(torch.uint8)
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo={"img_shape": (60, 127), "ori_shape": (60, 127)})
    batches = [
        {"inputs": [p[:, :60, :127]], "data_samples": [copy.deepcopy(sample)]} for p in pictures
    ]
    plain = {"optimizer": {"type": "SGD", "lr": 1.0}, "accumulative_counts": counts}
    return system, batches, CodecOptimWrapperConstructor({"main": plain, "aux": plain})(system)


def test_two_batches_of_one_accumulate_to_one_of_two(people_config):
    one, batches, optimizers = _system(people_config, counts=2)
    start = copy.deepcopy(one.state_dict())
    for batch in batches:
        one.train_step(batch, optimizers)
    other, _, optimizers = _system(people_config, counts=1)
    other.train_step({key: batches[0][key] + batches[1][key] for key in batches[0]}, optimizers)
    for name, value in other.named_parameters():
        if name.endswith("quantiles"):
            continue  # their loss is no mean over pictures
        step, accumulated = value - start[name], one.state_dict()[name] - start[name]
        # Of sums in another order, and of what was added to weights that are much larger.
        rounded = torch.finfo(step.dtype).eps * float(start[name].abs().max())
        tolerance = 1e-5 * float(step.abs().max()) + rounded
        assert torch.allclose(step, accumulated, rtol=1e-4, atol=tolerance), name
    assert not torch.equal(one.state_dict()["transmitter.g_a.0.weight"],
                           start["transmitter.g_a.0.weight"])  # fmt: skip
