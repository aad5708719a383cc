"""The mini zoo is what its listing says, and small."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors import safe_open
from torch import nn

from vcm_mt import checkpoint
from vcm_mt.checkpoint import (
    find_checkpoint,
    load_strictly,
    read_record,
    read_state_dict,
    training_checkpoint,
    zoo_path,
)
from vcm_mt.errors import ConfigError

ZOO = zoo_path("zoo").parent
LISTING = json.loads((ZOO / "zoo.json").read_text())


def test_every_file_is_listed_and_all_are_small():
    files = {path.name: path for path in ZOO.glob("*.safetensors")}
    assert set(files) == set(LISTING)
    assert sum(path.stat().st_size for path in ZOO.iterdir()) <= 25e6
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
    monkeypatch.setattr(
        checkpoint, "zoo_path", lambda name: tmp_path / "zoo" / f"{name}.safetensors"
    )
    with pytest.raises(ConfigError, match="not the file that zoo.json lists"):
        read_state_dict("zoo://faster_rcnn")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weights_file_is_told(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="weights"):
        read_state_dict(str(path))


class _Runs:
    def __reduce__(self):
        return (print, ("it ran",))


def test_mmengines_logs_are_let_in_and_code_is_not(tmp_path, capsys):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    weights = {"backbone.weight": torch.arange(6.0).view(2, 3)}
    log = {"message_hub": {"log_scalars": {"train/loss": buffer}, "last": np.float64(0.5)}}
    torch.save({"state_dict": weights, **log}, tmp_path / "own.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "own.pth", weights_only=True)
    found = read_state_dict(str(tmp_path / "own.pth"))
    assert torch.equal(found["backbone.weight"], weights["backbone.weight"])
    torch.save({"state_dict": weights, "extra": _Runs()}, tmp_path / "bad.pth")
    with pytest.raises(ConfigError, match="may run code"):
        read_state_dict(str(tmp_path / "bad.pth"))
    assert "it ran" not in capsys.readouterr().out


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
    with pytest.raises(ConfigError, match="has levels q1, q2, q10: name one of them"):
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
