"""The mini zoo is what its listing says, and small."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open

from vcm_mt import checkpoint
from vcm_mt.checkpoint import read_state_dict, zoo_path
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
