"""Every codec of CompressAI's with a hyperprior, by config alone, through both stages."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from tests.conftest import Tool
from tests.test_models.test_vcm_system import _optimizers
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.system import build_system
from vcm_mt.engine.hooks import EntropyTablesHook, FrozenHook
from vcm_mt.registry import MODELS

CODECS = {
    "bmshj2018-hyperprior": {"arch": "ScaleHyperprior", "N": 8, "M": 12},
    "mbt2018": {"arch": "JointAutoregressiveHierarchicalPriors", "N": 8, "M": 12},
    "cheng2020-anchor": {"arch": "Cheng2020Anchor", "N": 8},
    "cheng2020-attn": {"arch": "Cheng2020Attention", "N": 8},
}


def _saved(system, path):
    checkpoint = {"meta": {}, "message_hub": {"log_scalars": {}, "runtime_info": {}}}
    EntropyTablesHook().before_save_checkpoint(SimpleNamespace(model=system), checkpoint)
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize(
    ("name", "quantizer"),
    [
        ("bmshj2018-hyperprior", "round"),
        ("mbt2018", "noise"),
        ("cheng2020-anchor", "round"),
        ("cheng2020-attn", "ste"),
    ],
)
def test_both_stages_and_real_bytes(stage1_config, name, quantizer, tmp_path):
    stage1_config.model.codec = CODECS[name]
    stage1_config.model.quantizer = quantizer
    torch.manual_seed(0)
    system = build_system(stage1_config)
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        batch = next(iter(Runner.build_dataloader(stage1_config.train_dataloader, seed=0)))
    optimizers = _optimizers(system)
    system.train()
    before = {k: v.clone() for k, v in system.state_dict().items() if "context_pred" in k}
    for _ in range(2):
        system.train_step(batch, optimizers)
    after = system.state_dict()
    assert all(not torch.equal(after[k], v) for k, v in before.items() if "mask" not in k)
    stage1 = _saved(system, tmp_path / "stage1.pth")

    human = {"human": {"type": "HumanTask", "receiver": "human"}}
    config = {"type": "ReceiverSystem", "stage1": str(stage1), "tasks": human, "rank": 2}
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        lora = MODELS.build(config).train()
    guard, runner = FrozenHook(), SimpleNamespace(model=lora)
    guard.before_train(runner)
    optimizers = _optimizers(lora)
    for _ in range(2):
        lora.train_step(batch, optimizers)
    lora.eval()
    lora.send(torch.rand(1, 3, 64, 64))
    lora.train()
    guard.after_train(runner)
    assert any(p.abs().sum() > 0 for n, p in lora.named_parameters() if n.endswith(".up"))
    stage2 = _saved(lora, tmp_path / "stage2.pth")

    picture = np.random.default_rng(0).integers(0, 256, (70, 131, 3), np.uint8)
    data = Transmitter.load(stage1).encode(picture)
    for path in (stage1, stage2):
        receiver = Receiver.load(path)
        whole = receiver.decode(data)
        assert whole.shape == (70, 131, 3)
        receiver.merge()
        receiver.save(tmp_path / "receiver.safetensors")
        alone = Receiver.load(tmp_path / "receiver.safetensors").decode(data)
        assert np.abs(alone.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("name", "last"),
    [("mbt2018", -1), pytest.param("cheng2020-attn", -2, marks=pytest.mark.slow)],
)
def test_one_process_encodes_another_decodes(stage1_config, name, last, tmp_path):
    """By tools/codec.py, with other numbers of threads, and a receiver's file."""
    stage1_config.model.codec = CODECS[name]
    torch.manual_seed(1)
    system = build_system(stage1_config)
    with torch.no_grad():  # so that the latent is not all zeros
        system.transmitter.g_a[last].weight.mul_(40)
    stage1 = _saved(system.eval(), tmp_path / "stage1.pth")
    picture = np.random.default_rng(0).integers(0, 256, (70, 131, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")

    def tool(threads, *arguments):
        done = Tool("codec", *map(str, arguments), OMP_NUM_THREADS=threads).ended()
        assert done.returncode == 0, done.stderr[-2000:]

    tool("1", "encode", tmp_path / "a.png", "-o", tmp_path / "coded", "--transmitter", stage1)
    tool("1", "export", stage1, "-o", tmp_path / "r.safetensors")
    tool("2", "decode", tmp_path / "coded", "-o", tmp_path / "out",
         "--receiver", tmp_path / "r.safetensors")  # fmt: skip
    (actual,) = (tmp_path / "out").rglob("*.png")
    (data,) = (file.read_bytes() for file in (tmp_path / "coded").rglob("*.vcm"))
    y_hat, _ = system.transmitter.decode(data)
    assert y_hat.abs().max() > 1
    decoded = system.receivers["shared"](y_hat)[0, :, :70, :131].permute(1, 2, 0) * 255
    assert (torch.from_numpy(np.asarray(Image.open(actual)).copy()) - decoded).abs().max() < 1.5
