"""A whole system on a device that is not there: no tensor of the CPU is left among its own."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.elsewhere import AWAY, HOME, Elsewhere, TwoHomesError
from tests.test_models.test_vcm_system import _optimizers
from vcm_mt.apis.system import build_system
from vcm_mt.bitstream.context import entropy_model
from vcm_mt.engine.hooks import EntropyTablesHook
from vcm_mt.engine.rate_target import RateTargetHook
from vcm_mt.models.codec import build_codec
from vcm_mt.models.receiver_system import ReceiverSystem
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.refiner import Refiner
from vcm_mt.models.transmitter import Transmitter

_CODECS = {
    "mean-scale": {"arch": "MeanScaleHyperprior", "N": 8, "M": 12},
    "scale": {"arch": "ScaleHyperprior", "N": 8, "M": 12},
    "context": {"arch": "JointAutoregressiveHierarchicalPriors", "N": 8, "M": 12},
    "attention": {"arch": "Cheng2020Attention", "N": 8},
}


@pytest.fixture
def elsewhere():
    with Elsewhere() as actual:
        yield actual


@pytest.mark.usefixtures("elsewhere")
def test_two_homes_do_not_meet():
    """What the tests below rest on."""
    away, here = torch.rand(3, device="cuda"), torch.rand(3)
    refused = [
        lambda: away + here,
        lambda: here.add_(away),
        lambda: torch.zeros(()).add_(away.sum()),
        lambda: torch.stack([away.sum(), torch.tensor(1.0)]),
        lambda: np.asarray(away),
        lambda: torch.rand(3, generator=torch.Generator(), device="cuda"),
    ]
    for meeting in refused:
        with pytest.raises(TwoHomesError):
            meeting()
    assert (2 * away + torch.tensor(1.0)).device == away[torch.tensor([0])].device == AWAY
    assert away.cpu().device == (here + away.to(here)).device == HOME
    assert here.copy_(away).device == HOME


def _one_home(elsewhere, *modules):
    for module in modules:
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            assert elsewhere.home(value) == AWAY, name


def _batch(config):
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        return next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))


def _train_and_predict(elsewhere, system, batch):
    optimizers = _optimizers(system)
    for _ in range(2):
        log = system.train().train_step(copy.deepcopy(batch), optimizers)
        assert torch.isfinite(log["loss"])
    system.eval().update_tables()
    _one_home(elsewhere, system)
    data = system.data_preprocessor(copy.deepcopy(batch), False)
    for sample in system.predict(data["inputs"][:1], data["data_samples"][:1]):
        assert sample.coding["num_bytes"] > 0


@pytest.mark.parametrize("codec", ["mean-scale", "attention"])
def test_a_codec_is_trained_and_measured(stage1_config, elsewhere, codec):
    stage1_config.model.codec = _CODECS[codec]
    stage1_config.model.tasks.people = {"type": "HumanTask", "ms_ssim": 1.0}
    system = build_system(stage1_config).to("cuda")
    _train_and_predict(elsewhere, system, _batch(stage1_config))


def test_a_codec_of_several_levels_behind_a_segmenter(stage1_config, elsewhere):
    stage1_config.model.update(gains=[0.5, 1.0, 2.0], lmbda=[0.1, 0.3, 0.5])
    stage1_config.model.tasks.det.update(
        detector="configs/mini/tasks/mask_rcnn.py", feature_background=0.5, remember=16,
        resize={"scale": (200, 160), "keep_ratio": True},
    )  # fmt: skip
    system = build_system(stage1_config).to("cuda")
    _train_and_predict(elsewhere, system, _batch(stage1_config))


def saved(config, path):
    """A checkpoint of an untrained stage 1."""
    torch.manual_seed(0)
    system = build_system(config)
    checkpoint = {"meta": {}, "message_hub": {"log_scalars": {}, "runtime_info": {}}}
    EntropyTablesHook().before_save_checkpoint(SimpleNamespace(model=system), checkpoint)
    torch.save(checkpoint, path)
    return str(path)


@pytest.mark.parametrize("kind", [{}, {"rank": 2}, {"depth": 1}], ids=["full", "lora", "adapter"])
def test_a_receiver_is_trained(stage1_config, elsewhere, tmp_path, kind):
    stage1 = saved(stage1_config, tmp_path / "iter_1.pth")
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        system, again = (
            ReceiverSystem(stage1, stage1_config.model.tasks, **kind).to("cuda") for _ in range(2)
        )
    _train_and_predict(elsewhere, system, _batch(stage1_config))
    again.load_state_dict(system.state_dict())
    _one_home(elsewhere, again)


def test_a_receiver_that_is_there_already_becomes_a_light_one(elsewhere):
    g_s = build_codec(**_CODECS["mean-scale"]).g_s
    torch.manual_seed(1)
    here = Receiver(copy.deepcopy(g_s), rank=2)
    torch.manual_seed(1)
    lora = Receiver(g_s.to("cuda"), rank=2)
    _one_home(elsewhere, lora)
    y = torch.rand(1, 12, 2, 3)
    assert torch.equal(lora(y.to("cuda")).cpu(), here(y))
    for name, value in lora.lora_state().items():
        assert torch.equal(value.cpu(), here.lora_state()[name]), name  # the same random numbers
    lora.merge()
    _one_home(elsewhere, lora)


@pytest.mark.parametrize("codec", _CODECS)
def test_weights_are_loaded_where_the_network_is(elsewhere, codec):
    sender, other = (
        Transmitter(build_codec(**_CODECS[codec]), 1, gains=[0.5, 2.0]).eval() for _ in range(2)
    )
    sender.update_tables()
    other.to("cuda")
    other.load_state_dict(sender.state_dict())
    _one_home(elsewhere, other)
    picture = torch.rand(1, 3, 70, 131)
    assert other.encode(picture.to("cuda")) == sender.encode(picture)
    (data,) = sender.encode(picture)
    y_hat, _ = other.decode(data)
    assert y_hat.device == AWAY
    decoder = entropy_model(build_codec(**_CODECS[codec])).eval().to("cuda")
    decoder.load_decoder_state_dict(sender.entropy.decoder_state_dict())
    assert all(elsewhere.home(x) == AWAY for x in decoder.buffers())


def test_an_h_s_without_biases(elsewhere):
    codec = build_codec(**_CODECS["mean-scale"])
    for layer in codec.h_s:
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.bias = None
    here, away = (Transmitter(copy.deepcopy(codec)).eval() for _ in range(2))
    away.to("cuda")
    for sender in (here, away):
        sender.update_tables()
    _one_home(elsewhere, away)
    picture = torch.rand(1, 3, 70, 131)
    y_hat = here.quantise(picture)
    assert torch.equal(away.quantise(picture.to("cuda")).cpu(), y_hat)
    assert torch.equal(away.decode(away.encode(picture.to("cuda"))[0])[0].cpu(), y_hat)


def test_a_latent_is_refined(stage1_config, elsewhere):
    system = build_system(stage1_config).to("cuda")
    refiner = Refiner(system, steps=1, known={})
    assert refiner(torch.rand(1, 3, 70, 131, device="cuda")).device == AWAY


def test_a_training_runs_saves_resumes_and_is_tested(
    stage1_config, elsewhere, tmp_path, monkeypatch
):
    """On mmengine's Runner, with all hooks."""
    monkeypatch.setattr("mmengine.runner.runner.get_device", lambda: "cuda")
    config = stage1_config
    config.model.tasks = {"people": {"type": "HumanTask"}}
    config.val_evaluator = config.test_evaluator = [{"type": "CodingMetric"}]
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.default_hooks.checkpoint.interval = 1
    config.work_dir = str(tmp_path)
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    _one_home(elsewhere, runner.model)
    assert RateTargetHook(0.5, pictures=3)._measure(runner) > 0
    config.load_from, config.resume = str(tmp_path / "iter_2.pth"), True
    config.train_cfg.update(max_iters=3, val_interval=9)
    resumed = Runner.from_cfg(copy.deepcopy(config))
    resumed.train()
    _one_home(elsewhere, resumed.model)
    config.load_from, config.resume = str(tmp_path / "iter_3.pth"), False
    assert Runner.from_cfg(copy.deepcopy(config)).test()["bpp"] > 0
