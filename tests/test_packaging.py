"""Set-up: the version gate, the pins against the ranges, and what make offers."""

import ast
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vcm_mt import compat

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.10", "3.11", "3.12")
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


# ---- the version gate ----------------------------------------------------------------------------


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


# ---- setup.cfg, constraints.txt and the code -----------------------------------------------------


@pytest.fixture(scope="module")
def options():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text):
    """The requirements of a section of setup.cfg, by canonical name."""
    found = [Requirement(line) for line in text.splitlines() if line.strip()]
    return {canonicalize_name(one.name): one for one in found}


def pins(python):
    """The pins of constraints.txt that hold under a Python version."""
    environment = {**default_environment(), "python_version": python}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    held = [one for one in found if not one.marker or one.marker.evaluate(environment)]
    names = [canonicalize_name(one.name) for one in held]
    assert len(names) == len(set(names)), f"pinned twice for Python {python}"
    return {name: str(one.specifier) for name, one in zip(names, held, strict=True)}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", ["", "onedl", "dev"])
def test_pins_lie_within_the_ranges(options, python, extra):
    text = (
        options["options.extras_require"][extra]
        if extra
        else options["options"]["install_requires"]
    )
    pinned = pins(python)
    for name, wanted in requirements(text).items():
        assert name in pinned, f"{name} is not pinned"
        assert wanted.specifier.contains(pinned[name].removeprefix("==")), (
            f"{wanted}: {pinned[name]}"
        )


@pytest.mark.parametrize("python", PYTHONS)
def test_everything_is_pinned_exactly(python):
    assert all(re.fullmatch(r"==[^*,]+", pin) for pin in pins(python).values())


def test_gate_and_setup_cfg_give_the_same_ranges(options):
    declared = requirements(options["options"]["install_requires"])
    extras = options["options.extras_require"]
    openmmlab = requirements(extras["openmmlab"])
    declared |= requirements(extras["onedl"])
    declared |= {module: openmmlab[module] for module in compat.OPENMMLAB}
    for ranges in compat.RANGES.values():
        for name, wanted in ranges.items():
            if name != "mmcv-lite":  # never asked for, only recognised
                assert declared[name].specifier == compat.SpecifierSet(wanted)
    assert openmmlab["torch"].specifier == compat.SpecifierSet(compat.MMENGINE_TORCH)


def test_what_the_package_imports_is_declared(options):
    declared = {*requirements(options["options"]["install_requires"]), *compat.RANGES, "vcm-mt"}
    named = {
        "PIL": "pillow",
        "cv2": "opencv-python",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
    }
    for file in (ROOT / "vcm_mt").rglob("*.py"):
        for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
            if module not in sys.stdlib_module_names:
                name = canonicalize_name(named.get(module, module))
                assert name in declared, f"{file.name} imports {module}, which setup.cfg lacks"


def imported(tree):
    """The top-level names that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


# ---- make ----------------------------------------------------------------------------------------


def targets():
    """Every rule of the Makefile: name and whether it has a doc comment."""
    rules = re.findall(
        r"^([a-z][\w-]*):(?!=)(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: "##" in rest for name, rest in rules}


def test_help_lists_every_target():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout
    assert targets() and all(targets().values())
    assert re.findall(r"^  make ([\w-]+)", listed, re.MULTILINE) == list(targets())


def test_targets_that_the_readme_names_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^\s*|[;&$] )make ([a-z][a-z-]*)", readme, re.MULTILINE))
    assert named and named <= set(targets())


def test_scripts_that_make_calls_exist():
    called = re.findall(r"tools/[\w/]+\.py", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert [script for script in called if not (ROOT / script).is_file()] == []


# ---- bootstrap -----------------------------------------------------------------------------------


@pytest.fixture
def bootstrap(monkeypatch, tmp_path):
    """The set-up script with its files in a scratch folder, pip only noted down."""
    spec = importlib.util.spec_from_file_location(
        "bootstrap", ROOT / "tools" / "dev" / "bootstrap.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    for name, path in {"VENV": venv, "STAMP": venv / "ready", "LOG": venv / "log"}.items():
        monkeypatch.setattr(module, name, path)
    monkeypatch.setattr(module, "VENV_PYTHON", Path(sys.executable))
    venv.mkdir()
    (venv / "pyvenv.cfg").write_text("version = 3.11.7\n")
    monkeypatch.setattr(module, "CPU_TORCH", venv / "torch_cpu")
    (venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    module.calls, module.gpus = [], []
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no CUDA of this machine's
    monkeypatch.setattr(module, "CUDA", tmp_path / "cuda")
    for name in ("CUDA_HOME", "CUDA_PATH", "FORCE_CUDA", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)

    def pip_install(*arguments, gpu=None):
        module.calls.append(arguments)
        module.gpus.append(gpu)

    monkeypatch.setattr(module, "pip_install", pip_install)
    return module


@pytest.fixture
def machine(bootstrap, monkeypatch, tmp_path):
    """Gives this machine a GPU and a compiler, by programs that stand for them.

    What runs inside .venv is answered for: mmcv's ops work where they were compiled last.
    """
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    bootstrap.torch_cuda = "12.8"

    def have(gpu="", nvcc=""):
        answers = {"nvidia-smi": gpu, "nvcc": nvcc and f"Cuda compilation tools, release {nvcc}, V"}
        for name, answer in answers.items():
            script = programs / name
            script.unlink(missing_ok=True)
            if answer:
                script.write_text(f"#!/bin/sh\ncat <<'.'\n{answer}\n.\n")
                script.chmod(0o755)

    def failure_of(code):
        built = [gpu for call, gpu in zip(bootstrap.calls, bootstrap.gpus, strict=True)
                 if "onedl-mmcv" in call]  # fmt: skip
        wants_gpu = "set_default_device('cuda')" in code or "compiling_cuda" in code
        return "not found" if wants_gpu and not (built and built[-1]) else ""

    monkeypatch.setattr(bootstrap, "failure_of", failure_of)
    monkeypatch.setattr(bootstrap, "output_of", lambda code: bootstrap.torch_cuda)
    bootstrap.hidden = lambda: bool(list(bootstrap.VENV.rglob("vcm_mt_cpu.pth")))
    return have


def test_second_call_does_nothing_until_the_pins_change(bootstrap, monkeypatch, tmp_path):
    pinned = tmp_path / "constraints.txt"
    pinned.write_text("torch==2.8.0\n")
    monkeypatch.setattr(bootstrap, "CONSTRAINTS", pinned)
    monkeypatch.setattr(bootstrap, "failure_of", lambda code: "")
    assert bootstrap.main([]) == 0
    first = len(bootstrap.calls)
    assert bootstrap.main([]) == 0
    assert len(bootstrap.calls) == first > 0
    pinned.write_text("torch==2.8.1\n")
    assert bootstrap.main([]) == 0
    assert len(bootstrap.calls) == 2 * first


def test_stale_ops_are_built_anew_once(bootstrap, monkeypatch):
    answers = iter(["undefined symbol", ""])
    monkeypatch.setattr(bootstrap, "failure_of", lambda code: next(answers))
    bootstrap.ensure_ops(None)
    (rebuild,) = bootstrap.calls
    assert {"--no-cache-dir", "--force-reinstall", "onedl-mmcv"} <= set(rebuild)


def test_ops_that_stay_broken_end_in_one_message(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(
        bootstrap, "failure_of", lambda code: "undefined symbol" if "nms" in code else ""
    )
    assert bootstrap.main([]) == 1
    assert "undefined symbol" in capsys.readouterr().err
    assert not bootstrap.STAMP.exists()


def test_half_installed_packages_are_dropped(bootstrap):
    site = bootstrap.VENV / "lib" / "python3.11" / "site-packages"
    for name in ("whole", "half"):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
    (site / "whole-1.0.dist-info" / "INSTALLER").touch()
    bootstrap.make_venv()
    assert [path.name for path in site.iterdir()] == ["whole-1.0.dist-info"]


def test_missing_compiler_is_said_first(bootstrap, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert bootstrap.main([]) == 1
    assert "no C++ compiler (no-such-compiler)" in capsys.readouterr().err
    assert bootstrap.calls == []


def test_unsupported_python_without_another_is_one_message(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "SUPPORTED", ((2, 0),))
    assert bootstrap.main([]) == 1
    assert "Python 3.10, 3.11 or 3.12 is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("Collecting torch==2.8.0\n  [51/78] c++ -MMD -O2 nms.cpp\n", "compiling 51 of 78"),
        ("Downloading torch-2.8.0.whl (888.1 MB)\n", "downloading torch-2.8.0.whl (888.1 MB)"),
        ("Installing collected packages: a, b, c\n", "installing 3 packages"),
        ("", ""),
    ],
)
def test_progress_is_told_in_a_few_words(bootstrap, output, said):
    assert bootstrap.activity(output) == said


def test_a_failed_command_ends_with_its_output(bootstrap):
    bootstrap.LOG.touch()
    command = [sys.executable, "-c", "import sys; print('no space left'); sys.exit(1)"]
    with pytest.raises(bootstrap.SetupError, match="no space left"):
        bootstrap.run(command, bootstrap.environment())


def test_a_gpu_with_its_compiler_is_compiled_for(bootstrap, machine, capsys):
    machine(gpu="9.0\n8.0\n8.0", nvcc="12.4")
    assert bootstrap.main([]) == 0
    gpu = bootstrap.GPU("8.0;9.0", "12.4")
    (built,) = (
        g for call, g in zip(bootstrap.calls, bootstrap.gpus, strict=True) if "onedl-mmcv" in call
    )
    assert built == gpu
    assert "compiled for this torch and GPU 8.0;9.0" in capsys.readouterr().out
    assert not bootstrap.hidden()
    environment = bootstrap.environment(gpu)
    assert (environment["MMCV_WITH_OPS"], environment["FORCE_CUDA"]) == ("1", "1")
    assert environment["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0+PTX"
    assert "CUDA_VISIBLE_DEVICES" not in environment or "CUDA_VISIBLE_DEVICES" in os.environ


@pytest.mark.parametrize(
    ("gpu", "nvcc", "torch", "words"),
    [
        ("9.0", "", "12.8", "no nvcc was found, install CUDA 12's compiler"),
        ("9.0", "13.0", "12.8", "nvcc is of CUDA 13.0 and PyTorch of 12.8, set CUDA_HOME"),
        ("9.0", "12.8", "", "PyTorch was built without CUDA"),
        ("", "13.0", "12.8", ""),
        ("", "", "12.8", ""),
        ("[N/A]", "12.8", "12.8", ""),
    ],
)
def test_without_both_the_environment_is_for_the_cpu(
    bootstrap, machine, capsys, gpu, nvcc, torch, words
):
    machine(gpu, nvcc)
    bootstrap.torch_cuda = torch
    assert bootstrap.main([]) == 0
    assert set(bootstrap.gpus) == {None}
    told = [line for line in capsys.readouterr().out.splitlines() if "left alone" in line]
    assert len(told) == bool(words)
    assert all(words in line for line in told)
    assert bootstrap.hidden()
    environment = bootstrap.environment()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert not {"FORCE_CUDA", "TORCH_CUDA_ARCH_LIST"} & set(environment)
    done = len(bootstrap.calls)
    assert bootstrap.main([]) == 0
    assert len(bootstrap.calls) == done


def test_a_gpu_that_comes_later_is_noticed(bootstrap, machine):
    def runs():
        before = len(bootstrap.calls)
        assert bootstrap.main([]) == 0
        return len(bootstrap.calls) > before

    assert runs()
    machine(gpu="9.0")
    assert runs()  # tells that it has no nvcc
    assert not runs()
    machine(gpu="9.0", nvcc="12.8")
    assert runs()
    assert not bootstrap.hidden()
    machine()  # a node of the same cluster without one
    assert not runs()
    machine(gpu="8.0", nvcc="12.8")  # one with another, which what was compiled serves as well
    assert not runs()
    assert not bootstrap.hidden()


def test_a_cached_build_for_the_cpu_is_compiled_anew_for_a_gpu(bootstrap, machine, monkeypatch):
    machine(gpu="9.0", nvcc="12.8")
    built = []
    monkeypatch.setattr(bootstrap, "failure_of",
                        lambda code: "" if built or "nms" not in code else "not found")  # fmt: skip
    note = bootstrap.pip_install

    def pip_install(*arguments, gpu=None):
        note(*arguments, gpu=gpu)
        if "--no-cache-dir" in arguments:
            built.append(gpu)

    monkeypatch.setattr(bootstrap, "pip_install", pip_install)
    assert bootstrap.main([]) == 0
    assert built == [bootstrap.GPU("9.0", "12.8")]


def test_an_image_is_built_for_gpus_that_it_does_not_see(bootstrap, machine, monkeypatch):
    machine(nvcc="12.8")
    monkeypatch.setenv("FORCE_CUDA", "1")
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 9.0")
    assert bootstrap.main([]) == 0
    gpu = bootstrap.GPU("8.0 9.0", "12.8", here=False)
    assert gpu in bootstrap.gpus
    assert "set_default_device('cpu')" in bootstrap.ops_check(gpu)
    assert bootstrap.environment(gpu)["TORCH_CUDA_ARCH_LIST"] == "8.0 9.0"
    assert not bootstrap.hidden()


def test_an_environment_for_the_cpu_hides_gpus_unless_they_are_asked_for(bootstrap):
    bootstrap.hide_gpus(True)
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
    bootstrap.hide_gpus(False)
    assert not list(bootstrap.VENV.rglob("*.pth"))


def test_torchs_build_for_the_cpu_is_taken_and_remembered(bootstrap, machine):
    machine(gpu="9.0", nvcc="12.8")
    assert bootstrap.main(["--torch", "cpu", "--index", "file:///wheels"]) == 0
    asked = [call for call in bootstrap.calls if any(one.endswith("+cpu") for one in call)]
    assert len(asked) == 2
    for call in asked:
        assert {"torch==2.8.0+cpu", "torchvision==0.23.0+cpu", "file:///wheels"} <= set(call)
    assert not [call for call in bootstrap.calls if "torch" in call]
    assert set(bootstrap.gpus) == {None}
    assert bootstrap.hidden()
    done = len(bootstrap.calls)
    assert bootstrap.main([]) == 0
    assert len(bootstrap.calls) == done


def test_a_build_that_no_index_has_is_told_before_anything_is_installed(
    bootstrap, machine, monkeypatch, capsys
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


def test_windows_is_told_what_to_take(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.sys, "platform", "win32")
    assert bootstrap.main([]) == 1
    assert "on Windows use WSL" in capsys.readouterr().err


# ---- containers ----------------------------------------------------------------------------------


@pytest.fixture(params=["cpu", "cuda"])
def dockerfile(request):
    """The instructions of a Dockerfile, each on one line."""
    text = (ROOT / "docker" / f"{request.param}.Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [
        one.split(maxsplit=1) for one in "\n".join(lines).replace("\\\n", " ").splitlines() if one
    ]


def test_an_images_environment_needs_only_what_was_copied_before(dockerfile, tmp_path):
    for word, rest in dockerfile:
        if word == "COPY":
            *sources, target = [one for one in rest.split() if not one.startswith("--")]
            if sources == ["."]:
                break
            (tmp_path / target).mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copy(ROOT / source, tmp_path / target)
    assert (tmp_path / "tools" / "dev" / "bootstrap.py").is_file()
    code = "import vcm_mt; print(vcm_mt.__file__)"  # as set-up's last step
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "vcm_mt" / "__init__.py")
    for name in ("constraints.txt", "setup.cfg", "README.md", "LICENSE"):
        assert (tmp_path / name).is_file()


def test_an_image_is_pinned_and_runs_as_no_root(dockerfile):
    words = [word for word, _ in dockerfile]
    (base,) = [rest for word, rest in dockerfile if word == "FROM"]
    assert re.search(r":\d+\.\d+\.\d+", base)
    assert [rest for word, rest in dockerfile if word == "USER"] == ["vcm"]
    assert words.index("USER") < words.index("COPY")


def test_the_image_for_gpus_has_the_cuda_of_the_pinned_torch():
    text = (ROOT / "docker" / "cuda.Dockerfile").read_text(encoding="utf-8")
    (release,) = re.findall(r"^FROM \S+:(\d+\.\d+)", text, re.MULTILINE)
    assert pins("3.10")["nvidia-cuda-runtime-cu12"].startswith(f"=={release}.")
