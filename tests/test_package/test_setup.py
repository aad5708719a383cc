"""What set-up reads: ranges and pins, make, the Dockerfiles."""

import ast
import configparser
import re
import shutil
import subprocess
import sys

import pytest
from mmengine.fileio import load
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from vcm_mt import compat
from vcm_mt.version import __version__

BOOTSTRAP = ROOT / "tools/dev/bootstrap.py"
PYTHONS = ("3.10", "3.11", "3.12")


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
@pytest.mark.parametrize("extra", ["", "onedl", "tracking", "seg", "dev"])
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
    for extra in ("tracking", "seg"):
        declared |= {*requirements(options["options.extras_require"][extra])}
    (alone,) = re.findall(r"^ALONE = \((.*)\)$", BOOTSTRAP.read_text(), re.MULTILINE)
    declared |= {*re.findall(r'"(\w+)', alone)}
    named = {
        "mmseg": "onedl-mmsegmentation",
        "mmaction": "mmaction2",
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
    code = "import sys; sys.path.insert(0, 'tools/dev'); import bootstrap, vcm_mt; " \
        "print(vcm_mt.__file__)"  # fmt: skip
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


# ---- what the repository's host reads ------------------------------------------------------------


def test_the_workflow_installs_and_runs_what_there_is():
    (job,) = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"].values()
    *_, setup, check = [step["run"].split() for step in job["steps"] if "run" in step]
    assert setup[:2] == ["make", "setup"] and setup[1] in targets()
    assert (ROOT / check[0]).stat().st_mode & 0o100


def test_the_citation_is_of_this_version():
    citation = load(ROOT / "CITATION.cff", file_format="yml")
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
