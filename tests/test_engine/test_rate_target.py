"""lambda found for a rate."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from tests.conftest import ROOT, run_tool, small_options
from vcm_mt.apis.pictures import read_picture
from vcm_mt.apis.system import build_system
from vcm_mt.engine.rate_target import RateTargetHook
from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter


class _Codec:
    """A codec whose rate follows lambda with a lag, as trained ones do (bpp ~ odds^slope)."""

    def __init__(self, slope, lag, factor):
        self.lmbdas, self.record = [0.1], {}
        self.slope, self.lag, self.factor = slope, lag, factor
        self.log_bpp = math.log(0.5)

    def step(self):
        (lmbda,) = self.lmbdas
        home = math.log(self.factor) + self.slope * math.log(lmbda / (1 - lmbda))
        self.log_bpp += (home - self.log_bpp) / self.lag


def _run(codec, hook, iterations=1000):
    """What a Runner does with the hook, without its trainings."""
    hook._measure = lambda runner: math.exp(codec.log_bpp)
    hub = SimpleNamespace(update_scalar=lambda name, value: None)
    # One iteration short of the end, where a network would be trimmed.
    runner = SimpleNamespace(model=codec, message_hub=hub, iter=0, max_iters=iterations + 1)
    hook.before_train(runner)
    held = []
    for runner.iter in range(iterations):
        codec.step()
        hook.after_train_iter(runner, runner.iter)
        held.append(hook._holding)
    return runner, held


@pytest.mark.parametrize("target", [0.03, 0.2, 0.9])
@pytest.mark.parametrize("slope, lag", [(0.25, 150), (0.4, 60), (0.6, 20)])
def test_finds_the_rate_and_then_holds_lambda(target, slope, lag):
    codec = _Codec(slope, lag, factor=0.3)
    hook = RateTargetHook(target, interval=25)
    runner, held = _run(codec, hook, 2000)
    assert math.exp(codec.log_bpp) == pytest.approx(target, rel=0.03)
    assert all(held[-200:])
    before = codec.lmbdas[0]
    hook.after_train_iter(runner, runner.iter)
    assert codec.lmbdas[0] == before


def test_steers_again_when_the_rate_leaves():
    codec, hook = _Codec(0.4, 30, 0.3), RateTargetHook(0.2, interval=20)
    _run(codec, hook)
    codec.factor *= 1.3  # as when the learning rate falls
    runner, _ = _run(codec, hook)
    assert math.exp(codec.log_bpp) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("bpp", [0, -0.1])
def test_a_target_is_above_zero(bpp):
    with pytest.raises(ConfigError, match="above 0 bpp"):
        RateTargetHook(bpp)


def test_not_for_a_codec_of_several_qualities():
    codec = _Codec(0.4, 30, 0.3)
    codec.lmbdas = [0.1, 0.2]
    with pytest.raises(ConfigError, match="one quality"):
        RateTargetHook(0.1).before_train(SimpleNamespace(model=codec))


def _record(folder):
    path = (folder / "q1" / "last_checkpoint").read_text()
    record = torch.load(path, map_location="cpu", weights_only=False)["meta"]["record"]
    return json.loads(record)["rate_target"]


def test_a_training_counts_real_bytes_and_resumes(mini, tmp_path):
    config = tmp_path / "rates.py"
    config.write_text(
        f'_base_ = "{ROOT}/configs/mini/stage1_det.py"\n'
        "levels = [dict(target_bpp=0.001, lmbda=0.1)]\n"
        "rate_target = dict(interval=2)\n"
    )
    options = {k: v for k, v in small_options(mini).items() if not k.startswith("levels")}
    arguments = [str(config), "--work-dir", str(tmp_path), "--cfg-options"]
    arguments += [f"{key}={value}" for key, value in options.items()]
    done = run_tool("train", *arguments)
    assert done.returncode == 0, done.stderr
    first = _record(tmp_path)
    assert first["lmbda"] < 0.1  # headers alone take more than the target
    assert first["bpp"] >= 8 * 15 / 256**2
    told = done.stdout + done.stderr
    assert "rate target 0.0010" in told and "lambda: " in told and "bpp_val: " in told
    assert f"{first['bpp']:.4f}" in (tmp_path / "rates.md").read_text()
    more = run_tool("train", *arguments, "train_cfg.max_iters=8", "--resume")
    assert more.returncode == 0, more.stderr
    assert _record(tmp_path)["lmbda"] < first["lmbda"]
    other = run_tool(
        "train", *arguments, "train_cfg.max_iters=9", "levels.0.target_bpp=0.5", "--resume"
    )
    assert other.returncode == 1
    assert "trained for 0.001 bpp, not 0.5" in other.stderr


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pictures_coded_together_take_what_each_takes_alone(stage1_config, tmp_path, num_workers):
    """Sizes mixed; those of one size are not neighbours in the set."""
    sizes = [(90, 65), (64, 97), (90, 65), (64, 97), (90, 65)]
    generator = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        pixels = generator.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    torch.manual_seed(0)
    system = build_system(stage1_config)
    with torch.no_grad():  # so that the latent is not all zeros
        system.transmitter.g_a[-1].weight.mul_(8)
    loader = stage1_config.val_dataloader
    loader.num_workers, loader.persistent_workers = num_workers, num_workers > 0
    loader.dataset = {
        "type": "PictureFolder", "data_root": str(tmp_path), "pipeline": loader.dataset.pipeline,
    }  # fmt: skip
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        loader = Runner.build_dataloader(loader, seed=0)
    runner = SimpleNamespace(model=system, val_loop=SimpleNamespace(dataloader=loader))
    before = torch.get_rng_state()
    actual = RateTargetHook(0.1, pictures=4)._measure(runner)
    assert torch.equal(torch.get_rng_state(), before)
    paths = [tmp_path / f"{number}.png" for number in (0, 1, 2, 3)]
    pictures = [read_picture(path) for path in paths]
    rates = [8 * len(system.transmitter.encode(p)[0]) / p[0, 0].numel() for p in pictures]
    assert len(set(rates)) > 2
    assert actual == pytest.approx(sum(rates) / 4, rel=1e-12)


def test_a_codec_that_cannot_be_trimmed_keeps_its_training():
    """Its latent is read by a residual block."""
    codec = build_codec("Cheng2020Anchor", N=8)
    system = SimpleNamespace(
        lmbdas=[0.1], transmitter=Transmitter(codec), receivers={"shared": Receiver(codec.g_s)}
    )
    hook = RateTargetHook(0.1)
    hook._measure = lambda runner: 0.11
    before = [p.clone() for p in system.transmitter.parameters()]
    hook._trim(SimpleNamespace(model=system))
    assert hook._trimmed == 1.0
    assert all(map(torch.equal, before, system.transmitter.parameters()))
