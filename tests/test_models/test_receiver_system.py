"""Stage 2: theta_d learns, theta_e and the bits stay."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from pytorch_msssim import ms_ssim

from tests.conftest import ROOT
from tests.test_models.test_vcm_system import _optimizers
from vcm_mt.apis.system import build_system
from vcm_mt.bitstream.container import unpack
from vcm_mt.engine.hooks import EntropyTablesHook, FrozenHook
from vcm_mt.errors import ConfigError, FrozenError
from vcm_mt.models.tasks import HumanTask
from vcm_mt.registry import MODELS
from vcm_mt.training.finetune import for_tasks

HUMAN = {"human": {"type": "HumanTask", "receiver": "human"}}


@pytest.fixture
def stage1(stage1_config, tmp_path):
    """A checkpoint of an untrained stage 1, as a training writes it."""
    torch.manual_seed(1)
    system = build_system(stage1_config)
    with torch.no_grad():  # so that the latent is not all zeros
        for part in (system.transmitter.g_a, system.receivers["shared"].g_s):
            part[-1].weight.mul_(8)
    checkpoint = {"meta": {}, "message_hub": {"log_scalars": {}, "runtime_info": {}}}
    EntropyTablesHook().before_save_checkpoint(SimpleNamespace(model=system), checkpoint)
    path = tmp_path / "stage1.pth"
    torch.save(checkpoint, path)
    return str(path)


@pytest.fixture
def batch(stage1_config):
    """Two pictures with annotations."""
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        loader = Runner.build_dataloader(stage1_config.train_dataloader, seed=0)
        return next(iter(loader))


def build(stage1, tasks=HUMAN, **kwargs):
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        return MODELS.build({"type": "ReceiverSystem", "stage1": stage1, "tasks": tasks, **kwargs})


def _runner(system):
    return SimpleNamespace(model=system)


@pytest.mark.parametrize("kind", [{}, {"rank": 2}, {"depth": 2}], ids=["full", "lora", "adapter"])
def test_only_the_receiver_moves(stage1, batch, kind):
    system = build(stage1, **kind)
    before = {k: v.clone() for k, v in system.state_dict().items()}
    guard = FrozenHook()
    guard.before_train(_runner(system))
    optimizers = _optimizers(system)
    assert "aux" not in optimizers
    system.train()
    for _ in range(2):
        system.train_step(batch, optimizers)
    guard.before_save_checkpoint(_runner(system), {})
    guard.after_train(_runner(system))
    moved = {k for k, v in system.state_dict().items() if not torch.equal(v, before[k])}
    trained = {f"receivers.human.{k}" for k in system.receivers["human"].lora_state()}
    assert moved
    assert moved <= trained
    assert "rank" not in kind or not any("original" in key for key in moved)
    assert {"context" in key for key in moved} == {"depth" in kind, False}


def test_the_guard_sees_one_ulp_anywhere(stage1):
    system = build(stage1)
    fingerprint = system.transmitter.fingerprint()
    guard = FrozenHook()
    guard.before_train(_runner(system))
    state = system.transmitter.state_dict()
    for name, value in state.items():
        if not value.numel():
            continue
        place = value.as_strided((1,), (1,))  # one number, where it lies
        kept = place.clone()
        if value.is_floating_point():
            place.copy_(torch.nextafter(kept, torch.full_like(kept, torch.inf)))
        else:
            place.add_(1)
        assert system.transmitter.fingerprint() != fingerprint, name
        with pytest.raises(FrozenError, match="theta_e"):
            guard.before_save_checkpoint(_runner(system), {})
        with pytest.raises(FrozenError, match="theta_e"):
            guard.after_train(_runner(system))
        place.copy_(kept)
    guard.after_train(_runner(system))


def test_a_run_that_goes_on_from_another_transmitter_is_refused(stage1):
    system = build(stage1)
    with torch.no_grad():
        system.transmitter.g_a[0].bias.add_(1e-3)
    with pytest.raises(FrozenError, match="another transmitter"):
        FrozenHook().before_train(_runner(system))


def test_receivers_see_what_bytes_decode_to_each_picture_at_its_own_size(stage1, batch):
    system = build(stage1)
    batch["inputs"][0] = batch["inputs"][0][:, :200, :130]
    batch["data_samples"][0].set_metainfo({"img_shape": (200, 130), "ori_shape": (200, 130)})
    data = system.data_preprocessor(batch, True)
    x, samples = data["inputs"], data["data_samples"]
    system.train()
    decoded = system._receive(x, samples)["human"]
    assert decoded.shape == x.shape
    assert decoded.requires_grad
    for picture, actual, (height, width) in zip(x, decoded, [(200, 130), (256, 256)], strict=True):
        (coded,) = system.transmitter.encode(picture[None, :, :height, :width])
        y_hat = system.transmitter.decode_packets([unpack(coded)])
        assert y_hat.abs().max() > 1
        with torch.no_grad():
            expected = system.receivers["human"](y_hat)[0, :, :height, :width]
        assert torch.allclose(actual[:, :height, :width], expected, atol=1e-5)
        assert actual[:, height:].abs().sum() == actual[..., width:].abs().sum() == 0


def test_received_latents_stand_in_for_pictures(stage1, batch, stage1_config):
    tasks = {"det": {**stage1_config.model.tasks.det, "receiver": "det", "feature_weight": 0.0}}
    system = build(stage1, tasks).train()
    data = system.data_preprocessor(batch, True)
    torch.manual_seed(2)
    expected = system.loss(**{"x": data["inputs"], "data_samples": data["data_samples"]})
    for picture, sample in zip(data["inputs"], data["data_samples"], strict=True):
        sample.set_metainfo({"y_hat": system.transmitter.quantise(picture[None])})
    only = system.data_preprocessor({"data_samples": data["data_samples"]}, True)
    torch.manual_seed(2)
    losses = system.loss(only["inputs"], only["data_samples"])
    assert losses["loss_det"].item() == pytest.approx(expected["loss_det"].item(), rel=1e-5)
    with pytest.raises(ConfigError, match="original"):
        build(stage1).train().loss(None, data["data_samples"])


def test_a_light_receiver_is_small_and_merges(stage1):
    system = build(stage1, rank=2)
    receiver, full = system.receivers["human"], build(stage1).receivers["human"]
    y_hat = torch.randn(1, 12, 4, 4)
    assert torch.equal(receiver(y_hat), full(y_hat))  # it starts as what it stands on
    with torch.no_grad():
        for name, value in receiver.lora_state().items():
            assert name.endswith((".up", ".down", ".bias"))
            value.add_(0.05 * torch.randn_like(value))
    changed = receiver(y_hat)
    assert not torch.allclose(changed, full(y_hat), atol=1e-3)
    receiver.merge()
    assert torch.allclose(receiver(y_hat), changed, atol=1e-5)
    assert set(receiver.state_dict()) == set(full.state_dict())


def test_a_latent_adapter_starts_as_the_shared_one_and_sees_farther(stage1):
    adapted, full = build(stage1, depth=2).receivers["human"], build(stage1).receivers["human"]
    y_hat = torch.randn(1, 12, 16, 16)
    assert torch.equal(adapted(y_hat), full(y_hat))
    assert torch.equal(adapted(y_hat).detach(), adapted.eval()(y_hat.detach()))
    with torch.no_grad():
        for block in adapted.context:
            block.out.weight.add_(torch.randn_like(block.out.weight))
    moved = y_hat.clone()
    moved[..., 0, 0] += 10

    def reached(receiver):
        with torch.no_grad():
            far = (receiver(moved) - receiver(y_hat)).abs().amax((0, 1))
        return int((far > 0).any(0).nonzero().max())

    assert reached(adapted) >= reached(full) + 4 * 16  # four 3x3 convolutions of the latent


def test_several_receivers_and_one_for_several_tasks(stage1, batch, stage1_config):
    det = {**stage1_config.model.tasks.det, "receiver": "both"}
    tasks = {
        "det": det,
        "people": {"type": "HumanTask", "receiver": "both"},
        "human": {"type": "HumanTask", "ms_ssim": 60.0, "receiver": "human"},
    }
    system = build(stage1, tasks).train()
    assert set(system.receivers) == {"both", "human"}
    system.train_step(batch, _optimizers(system))
    one, other = (system.receivers[name].g_s[0].weight for name in ("both", "human"))
    assert not torch.equal(one, other)
    system.eval()
    sent = system.send(torch.rand(1, 3, 70, 90))
    assert sent["both"].num_bytes == sent["human"].num_bytes
    assert sent["both"].picture.shape == (1, 3, 70, 90)


def test_bad_input_is_told(stage1, tmp_path):
    with pytest.raises(ConfigError, match="no weights at"):
        build(str(tmp_path / "missing.pth"))
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "foreign.pth")
    with pytest.raises(ConfigError, match="does not say of which codec"):
        build(str(tmp_path / "foreign.pth"))
    with pytest.raises(ConfigError, match=r"no receivers\.other"):
        build(stage1, start="other")
    with pytest.raises(ConfigError, match="rank"):
        build(stage1, rank=-1)
    with pytest.raises(ConfigError, match="latent adapter"):
        build(stage1, depth=-1)
    with pytest.raises(ConfigError, match="either LoRA weights"):
        build(stage1, rank=1, depth=1)


def test_people_see_more_than_mse():
    x = torch.rand(1, 3, 176, 192)
    samples = [SimpleNamespace(img_shape=(170, 180))]
    parts = HumanTask(mse=2.0, ms_ssim=60.0).loss(x * 0.9, x, samples)
    assert set(parts) == {"mse", "ms_ssim"}
    alone = HumanTask().loss(x * 0.9, x, samples)["mse"]
    assert parts["mse"].item() == pytest.approx(2 * alone.item())
    assert 0 < parts["ms_ssim"] < 60
    with pytest.raises(ConfigError, match="161"):
        HumanTask(mse=0.0, ms_ssim=1.0).loss(x, x, [SimpleNamespace(img_shape=(100, 180))])
    small = HumanTask(ms_ssim=1.0).loss(x * 0.9, x, [SimpleNamespace(img_shape=(100, 180))])
    assert small["mse"] > 0
    assert small["ms_ssim"] == 0
    for wrong in ({"mse": 0.0}, {"mse": -1.0}):
        with pytest.raises(ConfigError, match="none of mse, ms_ssim, perceptual"):
            HumanTask(**wrong)
    with pytest.raises(ConfigError, match="VGG-16"):
        HumanTask(perceptual=1.0)


def test_peoples_loss_is_the_mean_over_pictures_each_on_its_own_area():
    x = torch.rand(3, 3, 192, 256)
    x_hat = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    samples = [SimpleNamespace(img_shape=size) for size in ((192, 170), (161, 256), (192, 170))]
    task = HumanTask(ms_ssim=60.0)
    together = task.loss(x_hat, x, samples)
    alone = [task.loss(x_hat[n : n + 1], x[n : n + 1], samples[n : n + 1]) for n in range(3)]
    for name, value in together.items():
        expected = sum(one[name] for one in alone) / 3
        assert torch.allclose(value, expected, rtol=1e-5)
    height, width = samples[1].img_shape
    own = (p[1:2, :, :height, :width] for p in (x_hat, x))
    assert alone[1]["ms_ssim"].item() == pytest.approx(
        60 * (1 - ms_ssim(*own, data_range=1.0).item()), rel=1e-4
    )


def test_the_perceptual_term_is_vggs_features(tmp_path):
    import torchvision

    torch.manual_seed(0)
    torch.save(torchvision.models.vgg16().state_dict(), tmp_path / "vgg16.pth")
    task = HumanTask(perceptual=1.0, vgg=str(tmp_path / "vgg16.pth"))
    task.freeze()
    x = torch.rand(1, 3, 64, 64)
    samples = [SimpleNamespace(img_shape=(64, 64))]
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1).requires_grad_()
    distance = task.loss(blurred, x, samples)["perceptual"]
    assert distance > 0
    assert task.loss(x, x, samples)["perceptual"] == 0
    distance.backward()
    assert blurred.grad.abs().sum() > 0
    assert all(p.grad is None for p in task.parameters())


def test_every_stage_2_config_chooses_its_tasks():
    for folder in ("configs", "configs/mini"):
        for name in ("det", "segm", "human"):
            config = Config.fromfile(ROOT / folder / f"stage2_{name}.py")
            chosen = for_tasks(config, [name, "det"] if name != "det" else ["det"])
            assert {t.receiver for t in chosen.model.tasks.values()} == {
                "det" if name == "det" else f"{name}+det"
            }
            metrics = [e.get("task") for e in chosen.val_evaluator]
            assert ("segm" in metrics) == (name == "segm")
    with pytest.raises(ConfigError, match="no task pose, but det, segm, human"):
        for_tasks(config, ["pose"])


def test_a_test_set_of_its_own_is_judged_by_its_own_annotations():
    chosen = for_tasks(Config.fromfile(ROOT / "configs/photos/stage2_det.py"), ["det"])
    for evaluators, split in ((chosen.val_evaluator, "tune"), (chosen.test_evaluator, "val")):
        _, judge = evaluators
        assert judge.ann_file == f"data/photos/annotations/{split}.json"
    judges = chosen.test_evaluators
    assert judges.det.ann_file == chosen.test_evaluator[1].ann_file


def test_a_stage_1_of_several_tasks_has_receivers_too(stage1_config, batch, tmp_path):
    """Detection and segmentation together in stage 1, then one receiver for both."""
    tasks = Config.fromfile("configs/mini/stage2_segm.py").tasks
    both = {name: {**tasks[name], "checkpoint": None} for name in ("det", "segm")}
    stage1_config.model.tasks = both
    system = build_system(stage1_config).train()
    log = system.train_step(batch, _optimizers(system))
    assert min(log[name] for name in ("loss_det", "loss_segm", "segm/mask")) > 0
    path = tmp_path / "both.pth"
    checkpoint = {"meta": {}, "message_hub": {"log_scalars": {}, "runtime_info": {}}}
    EntropyTablesHook().before_save_checkpoint(_runner(system), checkpoint)
    torch.save(checkpoint, path)
    named = {name: {**task, "receiver": "det+segm"} for name, task in both.items()}
    stage2 = build(str(path), named).train()
    assert stage2.transmitter.fingerprint() == system.transmitter.fingerprint()
    before = stage2.receivers["det+segm"].g_s[0].weight.clone()
    stage2.train_step(batch, _optimizers(stage2))
    assert not torch.equal(stage2.receivers["det+segm"].g_s[0].weight, before)
    assert stage2.record["tasks"] == ["det", "segm"]
