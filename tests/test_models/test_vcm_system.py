"""Equation (1), frozen tasks, real bytes."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vcm_mt.apis.system import build_system
from vcm_mt.engine.hooks import frozen_digest
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.models.transmitter import pad


@pytest.fixture
def build(stage1_config, device):
    """Build a system and one batch, after changes to the config's model."""

    def _build(pictures=2, **changes):
        config = copy.deepcopy(stage1_config)
        config.merge_from_dict({"model": changes})
        config.train_dataloader.batch_size = pictures
        torch.manual_seed(0)
        system = build_system(config, device=device)
        with DefaultScope.overwrite_default_scope("vcm_mt"):
            loader = Runner.build_dataloader(config.train_dataloader, seed=0)
            return system, next(iter(loader))

    return _build


def _optimizers(system):
    wrapper = {"optimizer": {"type": "Adam", "lr": 1e-3}}
    return CodecOptimWrapperConstructor({"main": wrapper, "aux": wrapper})(system)


def test_loss_is_equation_1(build):
    """By CompressAI's own forward, with the same noise, and the formula written out."""
    system, batch = build(
        lmbda=0.3,
        tasks={"_delete_": True, "people": {"type": "HumanTask", "weight": 2.0}},
        quantizer="noise",
        amp=False,
    )
    data = system.data_preprocessor(batch, True)
    x = data["inputs"]
    system.train()
    torch.manual_seed(5)
    losses = system.loss(x, data["data_samples"])

    entropy = system.transmitter.entropy
    torch.manual_seed(5)
    y = system.transmitter.g_a(x).contiguous()  # noise is drawn in memory's order
    z_hat, z_likelihoods = entropy.entropy_bottleneck(entropy.h_a(y))
    scales, means = entropy.h_s(z_hat).chunk(2, 1)
    y_hat, y_likelihoods = entropy.gaussian_conditional(y, scales, means=means)
    x_hat = system.receivers["shared"].g_s(y_hat).clamp(0, 1)
    bits = -(torch.log2(y_likelihoods).sum() + torch.log2(z_likelihoods).sum())
    rate = bits / (2 * 256 * 256)
    distortion = 255**2 * ((x_hat - x) ** 2).mean()
    expected = (1 - 0.3) * rate + 0.3 * 2.0 * distortion

    total, _ = system.parse_losses(losses)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["bpp_train"].item() == pytest.approx(rate.item(), rel=1e-5)


def test_several_tasks_add_up_by_their_weights(build):
    people = {"type": "HumanTask", "weight": 3.0}
    system, batch = build(tasks={"people": people}, lmbda=0.5)
    data = system.data_preprocessor(batch, True)
    losses = system.train().loss(data["inputs"], data["data_samples"])
    assert losses["loss_people"].item() == pytest.approx(0.5 * 3.0 * losses["people/mse"].item())
    detection = sum(v for k, v in losses.items() if k.startswith("det/"))
    assert losses["loss_det"].item() == pytest.approx(0.5 * detection.item(), rel=1e-5)
    total, log = system.parse_losses(losses)
    summed = losses["loss_rate"] + losses["loss_det"] + losses["loss_people"]
    assert total.item() == pytest.approx(summed.item(), rel=1e-5)


@pytest.mark.parametrize("quantizer", ["noise", "ste"])
def test_gradient_reaches_g_a_through_the_detector_alone(build, quantizer):
    system, batch = build(lmbda=1.0, quantizer=quantizer)  # no rate term
    data = system.data_preprocessor(batch, True)
    losses = system.train().loss(data["inputs"], data["data_samples"])
    system.parse_losses(losses)[0].backward()
    assert losses["loss_rate"].item() == 0
    assert system.transmitter.g_a[0].weight.grad.abs().sum() > 0
    assert system.receivers["shared"].g_s[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in system.tasks.parameters())


def test_a_step_moves_the_codec_and_not_the_task(build):
    system, batch = build()
    before, weights = frozen_digest(system.tasks["det"]), _weights(system)
    optimizers = _optimizers(system)
    system.train()
    for _ in range(2):
        system.train_step(batch, optimizers)
    assert frozen_digest(system.tasks["det"]) == before
    assert not any(m.training for task in system.tasks.values() for m in task.modules())
    moved = {k for k, v in _weights(system).items() if not torch.equal(v, weights[k])}
    assert {k.split(".")[0] for k in moved} == {"transmitter", "receivers"}
    assert any(k.endswith("quantiles") for k in moved)


def test_main_and_aux_optimisers_share_nothing(build):
    system, _ = build()
    optimizers = _optimizers(system)
    main = {id(p) for g in optimizers["main"].param_groups for p in g["params"]}
    aux = {id(p) for g in optimizers["aux"].param_groups for p in g["params"]}
    assert not main & aux
    assert aux == {id(system.transmitter.entropy.entropy_bottleneck.quantiles)}
    trainable = {id(p) for p in system.parameters() if p.requires_grad}
    assert main | aux == trainable


def test_a_batch_without_objects_works(build):
    system, batch = build()
    for sample in batch["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    log = system.train().train_step(batch, _optimizers(system))
    assert log["det/rpn_bbox"] == log["det/bbox"] == 0
    assert log["det/rpn_cls"] > 0  # every anchor is background


def test_predict_counts_the_bytes_that_are_sent(build):
    system, batch = build()
    system.eval().transmitter.update_tables()
    sample = system.val_step(batch)[0]
    picture = system.data_preprocessor(batch)["inputs"][:1]
    (data,) = system.transmitter.encode(picture)
    assert sample.coding["num_bytes"] == len(data)
    bits = system.transmitter(picture).bits.item()
    assert sample.coding["bits_estimated"] == pytest.approx(bits)
    assert sample.coding["num_pixels"] == 256 * 256
    assert sample.pred_det.bboxes.shape[1] == 4


@pytest.mark.parametrize("size", [(1, 1), (65, 257), (1, 200), (128, 64)])
def test_any_size_comes_back(build, size, device):
    system, _ = build()
    system.eval().transmitter.update_tables()
    picture = torch.rand(1, 3, *size).to(device)
    sent = system.send(picture)["shared"]
    assert sent.picture.shape == picture.shape
    assert sent.picture.min() >= 0
    assert sent.picture.max() <= 1
    expected = system(pad(picture, 64), [])[..., : size[0], : size[1]]
    assert torch.allclose(sent.picture, expected, atol=1e-4)


def test_pictures_of_unequal_size_share_a_batch(build):
    system, batch = build()
    batch["inputs"][0] = batch["inputs"][0][:, :200, :130]
    sample = batch["data_samples"][0]
    sample.set_metainfo({"img_shape": (200, 130), "ori_shape": (200, 130)})
    sample.gt_instances = sample.gt_instances[:0]
    data = system.data_preprocessor(batch, True)
    assert data["inputs"].shape == (2, 3, 256, 256)
    x = data["inputs"]
    alone, whole = system.eval().transmitter(x[:1, :, :, :192]), system.transmitter(x[1:])
    losses = system.loss(x, data["data_samples"])
    expected = (alone.bits[0] / (200 * 130) + whole.bits[0] / 256**2) / 2
    assert losses["bpp_train"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_half_precision_is_the_one_asked_for(build):
    system, _ = build(amp="fp16")
    assert system.train().transmitter.amp == "fp16"
    assert system.eval().transmitter.amp is False
    with pytest.raises(ConfigError, match="amp must be"):
        build(amp="half")


def test_another_transmitters_bytes_are_refused(build, device):
    system, _ = build()
    system.eval().transmitter.update_tables()
    (data,) = system.transmitter.encode(torch.rand(1, 3, 64, 64).to(device))
    with torch.no_grad():
        weight = system.transmitter.entropy.h_s[0].weight
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], weight.new_tensor(9.0))
    system.train().eval()
    with pytest.raises(BitstreamError, match="transmitter"):
        system.transmitter.decode(data)


def test_checkpoints_leave_the_tasks_out_and_load_without_them(build):
    system, _ = build()
    system.transmitter.update_tables()
    state = system.state_dict()
    assert not any(k.startswith("tasks.") for k in state)
    fresh, _ = build()
    fresh.load_state_dict(state, strict=True)
    assert fresh.transmitter.fingerprint() == system.transmitter.fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lmbda": -0.1}, "lambda"),
        ({"lmbda": 1.5}, "lambda"),
        ({"tasks": {"_delete_": True}}, "at least one task"),
        ({"tasks": {"det": {"weight": 0}}}, "weight"),
        ({"codec": {"arch": "mbt2020"}}, "not in CompressAI's zoo"),
        ({"codec": {"_delete_": True, "arch": "mbt2018-mean", "quality": 9}}, "quality 9"),
        ({"codec": {"checkpoint": "nowhere.pth"}}, "no weights at"),
    ],
)
def test_bad_configs_are_told(build, changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


def test_bfloat16_is_for_training_and_leaves_the_likelihoods_alone(build):
    system, batch = build(quantizer="noise")
    data = system.data_preprocessor(batch, True)
    rates = {}
    for system.amp in (False, True):
        system.train()
        torch.manual_seed(3)
        losses = system.loss(data["inputs"], data["data_samples"])
        rates[system.amp] = losses["bpp_train"].item()
    latent = system.transmitter(data["inputs"])
    assert latent.y_hat.dtype == latent.bits.dtype == torch.float32
    assert rates[True] == pytest.approx(rates[False], rel=0.05)
    assert rates[True] != rates[False]
    with torch.no_grad():
        trained = system.receivers["shared"](latent.y_hat)
        measured = system.eval().receivers["shared"](latent.y_hat)
    assert 0 < (trained - measured).abs().max() < 0.1


def test_an_outer_autocast_reaches_neither_likelihoods_nor_tasks(build, device):
    """As mmengine's AmpOptimWrapper puts one around the whole step."""
    system, batch = build(quantizer="round", amp=False)
    data = system.data_preprocessor(batch, True)
    system.train()
    losses = []
    for enabled in (False, True):
        torch.manual_seed(3)
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            losses.append(system(**data, mode="loss"))
    assert losses[0].keys() == losses[1].keys()
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])


@pytest.mark.slow
def test_compiled_transforms_train_alike_and_code_as_written(build):
    runs = []
    for compiled in (False, True):
        system, batch = build(
            tasks={"_delete_": True, "people": {"type": "HumanTask"}},
            quantizer="round",
            amp=False,
            compile=compiled,
        )
        data = system.data_preprocessor(batch, True)
        loss, _ = system.parse_losses(system.train()(**data, mode="loss"))
        loss.backward()
        gradient = system.transmitter.g_a[0].weight.grad
        system.eval().update_tables()
        sent = system.send(data["inputs"][:1])["shared"].picture
        runs.append((loss.item(), gradient, sent))
    (loss, gradient, sent), (other, its, same) = runs
    assert other == pytest.approx(loss, rel=1e-5)
    assert (its - gradient).norm() < 1e-3 * gradient.norm()
    assert torch.equal(same, sent)


def _weights(system):
    return {k: v.clone() for k, v in system.state_dict().items() if "tasks" not in k}
