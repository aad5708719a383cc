"""The package as users install it: wheel, source distribution, and a training from elsewhere."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vcm_mt.version import __version__

#: All that a build reads.
SOURCES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "model-index.yml",
           "configs", "vcm_mt")  # fmt: skip
#: Two steps of level 1, from the zoo's codec in place of level 2's.
TWO_STEPS = ("--quality", "1", "--cfg-options", "levels.0.after=None",
             "levels.0.codec.checkpoint=zoo://mse_1", "train_dataloader.batch_size=2",
             "train_cfg.max_iters=2", "train_cfg.val_begin=3",
             "param_scheduler.0.end=1", "param_scheduler.1.T_max=2")  # fmt: skip


def run(*command, cwd, **environment):
    done = subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": "", **environment})  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def build(what, source, folder):
    code = f"import setuptools.build_meta as b; b.build_{what}({str(folder)!r})"
    run(sys.executable, "-c", code, cwd=source)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a wheel, and another with a wheel of the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, source / name)
    build("wheel", source, folder)
    build("sdist", source, folder)
    with tarfile.open(folder / f"vcm_mt-{__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    build("wheel", folder / f"vcm_mt-{__version__}", folder / "again")
    return folder


@pytest.fixture(scope="module")
def elsewhere(built, mini, tmp_path_factory):
    """A folder with the data, and ``vcm_mt`` installed in an environment of its own.

    The packages that it needs are those of this environment.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
                    cwd=folder).strip())  # fmt: skip
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
        wheel, cwd=folder)  # fmt: skip
    (folder / "data").mkdir()
    (folder / "data" / "mini").symlink_to(mini)
    return folder


def in_venv(folder, code):
    return run(folder / "venv" / "bin" / "python", "-c", code, cwd=folder).split()


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: one.CRC for one in archive.infolist()}


def test_the_source_distribution_gives_the_same_wheel(built):
    (wheel,), (again,) = built.glob("*.whl"), (built / "again").glob("*.whl")
    assert contents(wheel) == contents(again)


def test_the_wheel_holds_what_git_does(built):
    """Whatever the package and the configs hold, not only what their globs happen to name."""
    (wheel,) = built.glob("*.whl")
    packed = set(contents(wheel))
    tracked = run("git", "ls-files", "vcm_mt", "configs", "model-index.yml", cwd=ROOT).split()
    places = {"configs": "vcm_mt/.mim/configs", "model-index.yml": "vcm_mt/.mim/model-index.yml"}
    for name in tracked:
        top, _, rest = name.partition("/")
        place = "/".join(filter(None, (places.get(top, top), rest)))
        assert place in packed or (ROOT / name).is_symlink() or not (ROOT / name).exists(), place


def test_two_steps_from_another_folder(elsewhere):
    command = elsewhere / "venv" / "bin" / "vcm-mt"
    assert run(command, "--version", cwd=elsewhere).split()[-1] == __version__
    run(command, "train", "vcm_mt::mini/stage1_det.py", *TWO_STEPS, cwd=elsewhere)
    assert (elsewhere / "work_dirs" / "mini" / "stage1_det" / "q1" / "iter_2.pth").is_file()


def test_configs_are_found_by_name(elsewhere):
    own = "_base_ = 'vcm_mt::mini/stage1_det.py'\nmodel = dict(lmbda=0.3)\n"
    (elsewhere / "own.py").write_text(own)
    code = """
import vcm_mt
from mmengine.hub import get_config
from vcm_mt.apis.system import build_system
from vcm_mt.training.config import at_level, default_config, load_config
own = at_level(load_config("own.py"), 3)
assert type(build_system(own).tasks["det"].detector).__name__ == "FasterRCNN"
by_hub = get_config("vcm_mt::mini/stage1_det.py")
assert by_hub.model.tasks == load_config("vcm_mt::mini/stage1_det.py").model.tasks
print(load_config(default_config("stage2_segm.py")).task[0], vcm_mt.__file__)
"""
    task, place = in_venv(elsewhere, code)
    assert task == "segm"
    assert Path(place).is_relative_to(elsewhere)
