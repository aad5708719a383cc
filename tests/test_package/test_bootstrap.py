"""``make setup``: what it installs for which machine, and how it says what is in the way."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def bootstrap(monkeypatch, tmp_path):
    """The script with its files in a scratch folder. What pip is asked for is noted down.

    What runs inside .venv is answered for: mmcv's ops work where they were compiled last.
    """
    monkeypatch.syspath_prepend(ROOT / "tools" / "dev")
    module = importlib.import_module("bootstrap")
    venv = tmp_path / ".venv"
    (venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("version = 3.11.7\n")
    module.calls, module.built = [], []

    def pip_install(*arguments, gpu=None):
        module.calls.append(arguments)
        if "onedl-mmcv" in arguments:
            module.built.append(gpu)

    def failure_of(code):
        return "not found" if "if True" in code and not any(module.built[-1:]) else ""

    replaced = {"VENV": venv, "STAMP": venv / "ready", "LOG": venv / "log",
                "CPU_TORCH": venv / "torch_cpu", "VENV_PYTHON": Path(sys.executable),
                "pip_install": pip_install, "failure_of": failure_of,
                "cuda_of_torch": lambda: "12.8"}  # fmt: skip
    for name, value in replaced.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("gpu.CUDA", tmp_path / "cuda")
    for name in ("CUDA_HOME", "CUDA_PATH", "FORCE_CUDA", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no CUDA of this machine's
    module.hidden = lambda: bool(list(venv.rglob("vcm_mt_cpu.pth")))
    return module


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Gives this machine a GPU and a compiler, by programs that stand for them."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def have(gpu="", nvcc=""):
        answers = {"nvidia-smi": gpu, "nvcc": nvcc and f"Cuda compilation tools, release {nvcc}, V"}
        for name, answer in answers.items():
            script = programs / name
            script.unlink(missing_ok=True)
            if answer:
                script.write_text(f"#!/bin/sh\ncat <<'.'\n{answer}\n.\n")
                script.chmod(0o755)

    return have


def works(bootstrap):
    """Run it; whether it had anything to do."""
    before = len(bootstrap.calls)
    assert bootstrap.main([]) == 0
    return len(bootstrap.calls) > before


def test_second_call_does_nothing_until_the_pins_change(bootstrap, monkeypatch, tmp_path):
    pinned = tmp_path / "constraints.txt"
    pinned.write_text("torch==2.8.0\n")
    monkeypatch.setattr(bootstrap, "CONSTRAINTS", pinned)
    assert works(bootstrap)
    assert not works(bootstrap)
    pinned.write_text("torch==2.8.1\n")
    assert works(bootstrap)


def test_ops_that_stay_broken_are_built_anew_once(bootstrap, monkeypatch, capsys):
    """pip caches a wheel of mmcv whatever torch it was built for."""
    broken = "undefined symbol"
    monkeypatch.setattr(bootstrap, "failure_of", lambda code: broken if "nms" in code else "")
    assert bootstrap.main([]) == 1
    (rebuild,) = [call for call in bootstrap.calls if "--no-cache-dir" in call]
    assert {"--force-reinstall", "onedl-mmcv"} <= set(rebuild)
    assert broken in capsys.readouterr().err
    assert not bootstrap.STAMP.exists()


def test_half_installed_packages_are_dropped(bootstrap):
    site = bootstrap.VENV / "lib" / "python3.11" / "site-packages"
    for name in ("whole", "half"):
        (site / f"{name}-1.0.dist-info").mkdir()
    (site / "whole-1.0.dist-info" / "INSTALLER").touch()
    bootstrap.make_venv()
    assert [path.name for path in site.iterdir()] == ["whole-1.0.dist-info"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SUPPORTED", ((2, 0),), "Python 3.10, 3.11 or 3.12 is needed"),
        ("sys.platform", "win32", "on Windows use WSL"),
        ("os.environ", {"CXX": "no-such-compiler"}, "no C++ compiler (no-such-compiler)"),
    ],
)
def test_what_is_missing_is_said_first(bootstrap, monkeypatch, capsys, name, value, told):
    holder = bootstrap
    for part in name.split(".")[:-1]:
        holder = getattr(holder, part)
    monkeypatch.setattr(holder, name.split(".")[-1], value)
    assert bootstrap.main([]) == 1
    assert told in capsys.readouterr().err
    assert bootstrap.calls == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["Collecting torch", "  [51/78] c++ -O2 nms.cpp", "In file"], "compiling 51 of 78"),
        (["Downloading torch-2.8.0.whl (888.1 MB)"], "downloading torch-2.8.0.whl (888.1 MB)"),
        (["Installing collected packages: a, b, c"], "installing 3 packages"),
        ([], ""),
    ],
)
def test_progress_is_told_in_a_few_words(bootstrap, lines, said):
    assert bootstrap.activity(lines) == said


def test_a_long_command_tells_what_it_is_at(bootstrap, monkeypatch, capsys):
    code = "import time; print('[3/4] c++', flush=True); time.sleep(1.5)"
    monkeypatch.setattr(bootstrap, "PROGRESS", 1.0)
    bootstrap.run([sys.executable, "-c", code], dict(os.environ))
    assert capsys.readouterr().out.split() == ["0:01", "compiling", "3", "of", "4"]


def test_a_failed_command_ends_with_its_output(bootstrap):
    command = [sys.executable, "-c", "import sys; print('no space left'); sys.exit(1)"]
    with pytest.raises(bootstrap.SetupError, match="no space left"):
        bootstrap.run(command, bootstrap.environment())
    assert "no space left" in bootstrap.LOG.read_text()


def test_a_gpu_with_its_compiler_is_compiled_for(bootstrap, machine, capsys):
    machine(gpu="9.0\n8.0\n8.0", nvcc="12.4")
    assert bootstrap.main([]) == 0
    gpu = bootstrap.GPU("8.0;9.0", "12.4")
    assert bootstrap.built == [gpu]
    assert "compiled for this torch and GPU 8.0;9.0" in capsys.readouterr().out
    assert not bootstrap.hidden()
    environment = bootstrap.environment(gpu)
    assert (environment["MMCV_WITH_OPS"], environment["FORCE_CUDA"]) == ("1", "1")
    assert environment["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0+PTX"


@pytest.mark.parametrize(
    ("gpu", "nvcc", "torch", "words"),
    [
        ("9.0", "", "12.8", "no nvcc was found, install CUDA 12's compiler"),
        ("9.0", "13.0", "12.8", "nvcc is of CUDA 13.0 and PyTorch of 12.8, set CUDA_HOME"),
        ("9.0", "12.8", "", "PyTorch was built without CUDA"),
        ("", "13.0", "12.8", ""),
        ("[N/A]", "12.8", "12.8", ""),
    ],
)
def test_without_both_the_environment_is_for_the_cpu(
    bootstrap, machine, monkeypatch, capsys, gpu, nvcc, torch, words
):
    machine(gpu, nvcc)
    monkeypatch.setattr(bootstrap, "cuda_of_torch", lambda: torch)
    assert works(bootstrap)
    assert bootstrap.built == [None]
    told = [line for line in capsys.readouterr().out.splitlines() if "left alone" in line]
    assert len(told) == bool(words)
    assert all(words in line for line in told)
    assert bootstrap.hidden()
    environment = bootstrap.environment()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert not {"FORCE_CUDA", "TORCH_CUDA_ARCH_LIST"} & set(environment)
    assert not works(bootstrap)


def test_a_gpu_that_comes_later_is_noticed(bootstrap, machine):
    assert works(bootstrap)
    machine(gpu="9.0")
    assert works(bootstrap)  # tells that it has no nvcc
    assert not works(bootstrap)
    machine(gpu="9.0", nvcc="12.8")
    assert works(bootstrap)
    machine()  # a node of the same cluster without one
    assert not works(bootstrap)
    machine(gpu="8.0", nvcc="12.8")  # one with another, which what was compiled serves as well
    assert not works(bootstrap)
    assert not bootstrap.hidden()


def test_an_image_is_built_for_gpus_that_it_does_not_see(bootstrap, machine, monkeypatch):
    machine(nvcc="12.8")
    monkeypatch.setenv("FORCE_CUDA", "1")
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 9.0")
    assert bootstrap.main([]) == 0
    gpu = bootstrap.GPU("8.0 9.0", "12.8", here=False)
    assert bootstrap.built == [gpu]
    assert "set_default_device('cpu')" in bootstrap.ops_check(gpu)
    assert bootstrap.environment(gpu)["TORCH_CUDA_ARCH_LIST"] == "8.0 9.0"
    assert not bootstrap.hidden()


def test_an_environment_for_the_cpu_hides_gpus_unless_they_are_asked_for(bootstrap):
    bootstrap.hide_gpus(bootstrap.VENV, True)
    (file,) = bootstrap.VENV.rglob("*.pth")
    code = (
        f"import site, os; site.addsitedir({str(file.parent)!r}); "
        "print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    )
    for given, seen in (({}, "''"), ({"CUDA_VISIBLE_DEVICES": "0"}, "'0'")):
        plain = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        done = subprocess.run([sys.executable, "-S", "-c", code], env={**plain, **given},
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert done.stdout.strip() == seen


def test_torchs_build_for_the_cpu_is_taken_and_remembered(bootstrap, machine):
    machine(gpu="9.0", nvcc="12.8")
    assert bootstrap.main(["--torch", "cpu", "--index", "file:///wheels"]) == 0
    pins = {"torch==2.8.0+cpu", "torchvision==0.23.0+cpu", "file:///wheels"}
    assert [pins <= set(call) for call in bootstrap.calls].count(True) == 2
    assert not [call for call in bootstrap.calls if "torch" in call]
    assert bootstrap.built == [None] and bootstrap.hidden()
    assert not works(bootstrap)


def test_a_build_that_no_index_has_is_told_before_anything_is_installed(
    bootstrap, monkeypatch, capsys
):
    def pip_install(*arguments, gpu=None):
        bootstrap.calls.append(arguments)
        if any(one.endswith("+cpu") for one in arguments):
            raise bootstrap.SetupError("No matching distribution found\nand more")

    monkeypatch.setattr(bootstrap, "pip_install", pip_install)
    assert bootstrap.main(["--torch", "cpu"]) == 1
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "make setup TORCH=cpu INDEX=" in told
    assert "--dry-run" in bootstrap.calls[-1]
    assert not bootstrap.CPU_TORCH.exists()
