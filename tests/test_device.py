"""Every load takes a device; what is no device, or lacks float64, is refused in a line."""

from types import SimpleNamespace

import pytest
import torch

from tests.test_apis.test_average import training_folder
from vcm_mt import device as module
from vcm_mt.apis import Detector, Receiver, Transmitter, refining
from vcm_mt.apis.codec import load_training
from vcm_mt.apis.system import build_system
from vcm_mt.bitstream.container import unpack
from vcm_mt.checkpoint import fingerprint
from vcm_mt.device import pick_device
from vcm_mt.errors import ConfigError
from vcm_mt.models.receivers import Receiver as Synthesis

CONFIG = "configs/mini/stage1_det.py"


def _gpus(monkeypatch, count):
    seen = SimpleNamespace(is_available=lambda: count > 0, device_count=lambda: count)
    monkeypatch.setattr(module, "torch", SimpleNamespace(cuda=seen, device=torch.device))


@pytest.mark.parametrize(("gpus", "taken"), [(0, "cpu"), (2, "cuda")])
def test_a_gpu_is_taken_where_there_is_one_and_a_cpu_where_it_is_asked_for(
    monkeypatch, gpus, taken
):
    _gpus(monkeypatch, gpus)
    assert pick_device() == torch.device(taken)
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("gpus", "wanted", "told"),
    [
        (0, "mps", "'mps', which has no float64, cannot be used: name cpu"),
        (2, torch.device("mps", 0), "'mps:0', which has no float64"),
        (0, "cuda", "'cuda' is not there, PyTorch sees 0 GPUs: name cpu"),
        (2, "cuda:2", "'cuda:2' is not there, PyTorch sees 2 GPUs"),
        (0, "gpu", "'gpu' is none: name cpu, cuda"),
        (0, "meta", "'meta' cannot be used: name cpu"),
    ],
)
def test_other_devices_are_refused(monkeypatch, gpus, wanted, told):
    _gpus(monkeypatch, gpus)
    with pytest.raises(ConfigError, match=told):
        pick_device(wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return training_folder(tmp_path_factory.mktemp("device") / "q2", 1)


@pytest.fixture
def files(folder, tmp_path):
    """A full receiver's file, and a light one's that stands on it."""
    receiver = Receiver.load(folder)
    receiver.save(tmp_path / "full.safetensors")
    record = {**receiver.record, "rank": 2, "base": fingerprint(receiver.synthesis.g_s)}
    light = Receiver(receiver.entropy, Synthesis(receiver.synthesis.g_s, rank=2), record)
    light.save(tmp_path / "light.safetensors")
    return tmp_path / "full.safetensors", tmp_path / "light.safetensors"


def test_both_ends_load_where_they_are_asked_to(folder, files, device):
    sender = Transmitter.load(folder, device=device)
    data = sender.encode(torch.rand(3, 33, 47))
    full, light = files
    receivers = [
        Receiver.load(folder, device=device),
        Receiver.load(full, device=device),
        Receiver.load(light, base=full, device=device),
        Receiver.load(light, base=folder, device=device),
    ]
    pictures = [one.decode_packets([unpack(data)]) for one in receivers]
    assert {one.device.type for one in pictures} == {device.type}
    for picture in pictures:
        assert torch.allclose(picture.cpu(), pictures[0].cpu(), atol=1e-5)


@pytest.mark.parametrize(
    "load",
    [
        lambda folder, files: Transmitter.load(folder, device="mps"),
        lambda folder, files: Receiver.load(folder, device="mps"),
        lambda folder, files: Receiver.load(files[0], device="mps"),
        lambda folder, files: Receiver.load(files[1], base=files[0], device="mps"),
        lambda folder, files: load_training(folder, device="mps"),
        lambda folder, files: Detector.load(CONFIG, "det", device="mps"),
        lambda folder, files: refining(CONFIG, folder, 1, device="mps"),
        lambda folder, files: build_system(None, device="mps"),
    ],
)
def test_every_load_refuses_what_is_no_device(folder, files, load):
    with pytest.raises(ConfigError, match="no float64"):
        load(folder, files)
