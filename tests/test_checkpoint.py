"""The mini zoo is what its listing says, and small."""

import json
import os
import pickle
import shutil
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors import safe_open
from torch import nn

from vcm_mt.checkpoint import (
    find_checkpoint,
    load_strictly,
    read_record,
    read_state_dict,
    training_checkpoint,
    zoo,
    zoo_path,
)
from vcm_mt.checkpoint.safe_load import safe_load
from vcm_mt.errors import ConfigError

ZOO = zoo_path("zoo").parent
LISTING = json.loads((ZOO / "zoo.json").read_text())


def test_every_file_is_listed_and_all_are_small():
    files = {path.name: path for path in ZOO.glob("*.safetensors")}
    assert set(files) == set(LISTING)
    assert sum(path.stat().st_size for path in ZOO.iterdir()) <= 45e6
    assert all(LISTING[name]["command"].startswith("python tools/train.py") for name in files)


@pytest.mark.parametrize("name", sorted(LISTING))
def test_it_loads_and_only_its_bulk_is_in_half_precision(name):
    state = read_state_dict(f"zoo://{name.removesuffix('.safetensors')}")
    assert all(torch.isfinite(v).all() for v in state.values())
    with safe_open(ZOO / name, "pt") as stored:
        for key in stored.keys():  # noqa: SIM118  not a dict
            if stored.get_slice(key).get_dtype() == "F16":
                # A bound of 1e-9 would be zero: it once made the likelihood's gradient NaN.
                assert len(stored.get_slice(key).get_shape()) > 1


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(ZOO, tmp_path / "zoo")
    path = tmp_path / "zoo" / "faster_rcnn.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(zoo, "zoo_path", lambda name: tmp_path / "zoo" / f"{name}.safetensors")
    with pytest.raises(ConfigError, match="not the file that zoo.json lists"):
        read_state_dict("zoo://faster_rcnn")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weights_file_is_told(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="weights"):
        read_state_dict(str(path))


class Calls:
    """Pickles as a call: what a hostile file is made of."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Let one of these stand for the function that another one calls."""


def test_mmengines_logs_are_let_in(tmp_path):
    """Such a checkpoint needs more than PyTorch's safe loading accepts by itself."""
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    weights = {"backbone.weight": torch.arange(6.0).view(2, 3)}
    log = {"message_hub": {"log_scalars": {"train/loss": buffer}, "last": np.float64(0.5)}}
    torch.save({"state_dict": weights, **log}, tmp_path / "own.pth")
    declared = set(torch.serialization.get_safe_globals())
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "own.pth", weights_only=True)
    state = read_state_dict(str(tmp_path / "own.pth"))
    assert torch.equal(state["backbone.weight"], weights["backbone.weight"])
    assert set(torch.serialization.get_safe_globals()) == declared


def test_logs_of_numpy_2_are_let_in(tmp_path):
    """Its pickles say ``numpy._core`` where those of numpy 1 say ``numpy.core``."""
    path = tmp_path / "own.pth"
    torch.save({"state_dict": {"w": torch.ones(1)}, "log": np.arange(3)}, path)
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data.replace(b"numpy.core.", b"numpy._core."))
    assert b"numpy._core.multiarray" in path.read_bytes()
    assert read_state_dict(str(path))["w"].item() == 1


@pytest.mark.parametrize(
    ("hostile", "told"),
    [
        (Calls(print, "it ran"), "asks for print"),
        (Calls(os.system, "echo it ran"), "asks for posix.system"),
        (Calls(exec, "print('it ran')"), "asks for exec"),
        (Calls(Calls(getattr, HistoryBuffer, "mean"), 1), "call reduce for unrecognized"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused(hostile, told, zipped, tmp_path, capfd):
    path = tmp_path / "bad.pth"
    content = {"state_dict": {"w": torch.ones(1)}, "extra": hostile}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ConfigError, match=told) as caught:
        read_state_dict(str(path))
    assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
    assert "it ran" not in capfd.readouterr().out


def test_getattr_of_the_logs_reaches_nothing(tmp_path):
    """It is accepted, as logs name it, and is not the real one: code stays out of reach."""
    path = tmp_path / "sly.pth"
    reached = Calls(getattr, Calls(getattr, HistoryBuffer, "mean"), "__globals__")
    torch.save({"state_dict": {"w": torch.ones(1)}, "extra": reached}, path)
    assert type(safe_load(path)["extra"]).__mro__[1].__name__ == "_Inert"


def network():
    return nn.ModuleDict({"backbone": nn.Conv2d(3, 4, 3), "head": nn.BatchNorm2d(4)})


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "backbone.", "head."])
def test_weights_whose_names_all_begin_alike(prefix):
    weights = network().state_dict()
    loaded = network()
    load_strictly(loaded, {prefix + key: value for key, value in weights.items()}, "a.pth")
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, weights[key])


def test_a_network_whose_own_names_begin_alike():
    weights = nn.ModuleDict({"module": network()}).state_dict()
    load_strictly(nn.ModuleDict({"module": network()}), weights, "a.pth")
    load_strictly(network(), weights, "a.pth")


def test_a_network_among_others_is_told_by_its_prefix():
    weights = {f"{one}.{k}": v for one in ("student", "teacher") for k, v in
               network().state_dict().items()}  # fmt: skip
    with pytest.raises(ConfigError, match=r"a.pth .* begin with student. or teacher.: save"):
        load_strictly(network(), weights, "a.pth")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_another_architecture_is_told(prefix):
    weights = {prefix + key: value for key, value in network().state_dict().items()}
    weights.popitem()
    weights[f"{prefix}backbone.weight"] = torch.zeros(4, 3, 5, 5)
    weights[f"{prefix}neck.weight"] = torch.zeros(1)
    with pytest.raises(ConfigError, match="a.pth holds the weights of another architecture"):
        load_strictly(network(), weights, "a.pth")


def _trained(*folders):
    for folder in folders:
        folder.mkdir(parents=True)
        torch.save({}, folder / "iter_1.pth")


def test_the_only_level_is_taken_and_of_several_one_is_to_be_named(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint in .*: train first"):
        find_checkpoint(tmp_path)
    _trained(tmp_path / "stage1" / "q2")
    assert find_checkpoint(tmp_path / "stage1") == tmp_path / "stage1" / "q2" / "iter_1.pth"
    assert training_checkpoint(tmp_path / "stage1").parent.name == "q2"
    with pytest.raises(ConfigError, match="has trainings stage1/q2: name one"):
        find_checkpoint(tmp_path)
    _trained(tmp_path / "stage1" / "q10", tmp_path / "stage1" / "q1")
    (tmp_path / "stage1" / "q3").mkdir()  # not trained
    with pytest.raises(ConfigError, match="has qualities q1, q2, q10: name one of them"):
        find_checkpoint(tmp_path / "stage1")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_records_of_other_files_are_told_in_a_line(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ConfigError, match="no weights at"):
        read_record(path)
    # A zip archive of another program, a pickle that stops short, one that adds to a number.
    for content in (b"PK\x05\x06" + bytes(18), b"\x80\x02}q", b"\x80\x02K\x01]a.", b"text\n" * 50):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="is not a readable file of weights") as caught:
            read_record(path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(path)) == 1
