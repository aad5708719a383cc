"""The version gate: what it lets pass, and the commands that it names."""

import importlib.util
import os
import re
import subprocess
import sys
from importlib import metadata

import pytest

from tests.conftest import ROOT
from vcm_mt import compat

FITTING = {
    "torch": "2.8.0",
    "torchvision": "0.23.0",
    "numpy": "1.26.4",
    "compressai": "1.2.8",
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
}
ORIGINALS = {
    **{name: version for name, version in FITTING.items() if not name.startswith("onedl")},
    "torch": "2.4.1",
    "torchvision": "0.19.1",
    "mmengine": "0.10.7",
    "mmcv": "2.1.0",
    "mmdet": "3.3.0",
}


@pytest.fixture
def gate(monkeypatch, tmp_path):
    """Run the gate on made-up distributions; return its message, empty when it lets them pass."""

    def run(installed, ops=True):
        def version(name):
            if name in installed:
                return installed[name]
            raise metadata.PackageNotFoundError(name)

        spec = importlib.util.spec_from_loader("mmcv", loader=None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path)]
        (tmp_path / "_ext.so").unlink(missing_ok=True)
        if ops:
            (tmp_path / "_ext.so").touch()
        there = "onedl-mmcv" in installed or "mmcv" in installed
        monkeypatch.setattr(compat.metadata, "version", version)
        monkeypatch.setattr(
            compat, "find_spec", lambda name: spec if there and name == "mmcv" else None
        )
        try:
            compat.check_versions()
        except ImportError as error:
            return str(error)
        return ""

    return run


def commands(message):
    """The lines that the gate asks to run."""
    return re.findall(r"^    (pip .*)$", message, re.MULTILINE)


@pytest.mark.parametrize("installed", [FITTING, ORIGINALS], ids=["onedl", "originals"])
def test_gate_passes_either_set(gate, installed):
    assert gate(installed) == ""


@pytest.mark.parametrize(
    ("torch", "torchvision"), [("2.4.0", "0.19.0"), ("2.11.0+cu130", "0.26.0+cu130")]
)
def test_gate_passes_the_ends_of_the_range(gate, torch, torchvision):
    assert gate({**FITTING, "torch": torch, "torchvision": torchvision}) == ""


def test_gate_passes_a_vendors_prerelease(gate):
    assert gate({**FITTING, "torch": "2.11.0a0+nv26.1", "torchvision": "0.26.0a0+nv26.1"}) == ""


def test_missing_openmmlab_is_built_for_the_torch_that_is_there(gate):
    message = gate({k: v for k, v in FITTING.items() if not k.startswith("onedl")})
    assert commands(message) == [
        'pip install "setuptools>=80,<81" packaging ninja',
        'pip install --no-build-isolation --no-cache-dir "numpy>=1.26,<2" '
        '"onedl-mmengine>=0.10.10,<0.11" "onedl-mmcv>=2.3.4,<2.4" "onedl-mmdetection>=3.5,<3.6"',
    ]


@pytest.mark.parametrize(
    ("name", "version"),
    [("compressai", "1.2.4"), ("numpy", "2.1.0"), ("onedl-mmdetection", "3.4.7")],
)
def test_out_of_range_is_named_with_its_requirement(gate, name, version):
    message = gate({**FITTING, name: version})
    assert f"{name} is {version}" in message
    assert f'"{name}>=' in commands(message)[-1]


def test_another_torch_means_another_mmcv(gate):
    asked = commands(gate({**FITTING, "torch": "2.3.1"}))
    assert asked[0] == "pip uninstall -y onedl-mmcv"
    assert asked[1] == 'pip install "torch>=2.4,<2.12"'
    assert '"onedl-mmcv>=' in asked[-1]


def test_two_distributions_of_one_module_are_both_removed(gate):
    message = gate({**FITTING, "mmcv": "2.1.0"})
    assert "onedl-mmcv and mmcv both install mmcv" in message
    assert commands(message)[0] == "pip uninstall -y onedl-mmcv mmcv"
    assert '"onedl-mmcv>=' in commands(message)[-1]


def test_original_mmdet_refuses_the_newer_mmcv(gate):
    installed = {**FITTING, "mmdet": "3.3.0"}
    del installed["onedl-mmdetection"]
    message = gate(installed)
    assert "mmdet 3.3.0 refuses onedl-mmcv 2.3.6" in message
    assert commands(message)[0] == "pip uninstall -y mmdet"
    assert '"onedl-mmdetection>=' in commands(message)[-1]


def test_original_mmcv_out_of_range_stays_in_its_set(gate):
    asked = commands(gate({**ORIGINALS, "mmcv": "2.2.0"}))
    assert asked[0] == "pip uninstall -y mmcv"
    assert asked[-1].endswith('"mmcv>=2.1,<2.2"')


def test_originals_under_a_newer_torch_give_way_to_the_other_set(gate):
    message = gate({**ORIGINALS, "torch": "2.8.0", "torchvision": "0.23.0"})
    assert "mmengine 0.10.7 can't load checkpoints under torch 2.8.0" in message
    assert commands(message)[0] == "pip uninstall -y mmengine mmcv mmdet"
    assert commands(message)[-1].count("onedl-") == 3


def test_mmcv_without_ops_is_built_anew(gate):
    message = gate(FITTING, ops=False)
    assert "onedl-mmcv was installed without its compiled ops" in message
    assert commands(message)[0] == "pip uninstall -y onedl-mmcv"
    assert "--no-build-isolation --no-cache-dir" in commands(message)[-1]


@pytest.mark.parametrize(
    "torchvision", ["0.22.0", "0.24.0+cpu", "0.23.0+cpu"], ids=["older", "newer", "other build"]
)
def test_torchvision_of_another_family(gate, monkeypatch, torchvision):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(compat, "import_module", broken)
    message = gate({**FITTING, "torchvision": torchvision})
    assert "operator torchvision::nms does not exist" in message
    pair = '"torch==2.8.*" "torchvision==0.23.*"'
    assert commands(message) == [f"pip install --force-reinstall {pair}"]


def test_torchvision_of_another_build_passes_when_it_imports(gate, monkeypatch):
    monkeypatch.setattr(compat, "import_module", lambda name: None)
    assert gate({**FITTING, "torchvision": "0.23.0+cu128"}) == ""


def test_gate_imports_nothing_heavy():
    code = "import sys, vcm_mt; print(*{'torch', 'mmcv', 'mmdet', 'mmengine'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


_READ_ONLY = """
import os, sys, tempfile
temporary, access = tempfile.gettempdir(), os.access
os.access = lambda place, mode: str(place).startswith(temporary) and access(place, mode)
make = tempfile.TemporaryFile
def refuse(*args, dir=None, **kwargs):
    if not str(dir).startswith(temporary):
        raise PermissionError(13, "Permission denied", dir)
    return make(*args, dir=dir, **kwargs)
tempfile.TemporaryFile = refuse
import vcm_mt.bitstream.rans
print(os.environ["NUMBA_CACHE_DIR"])
"""


def test_a_user_who_can_write_neither_the_sources_nor_a_home(tmp_path):
    """As in a container: numba would refuse to compile there."""
    environment = {**os.environ, "HOME": "/nonexistent", "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", _READ_ONLY], cwd=ROOT, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "vcm_mt_numba")
