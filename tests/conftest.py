"""Fixtures: a few real pictures of the embedded set, and a small codec over them."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from tests.elsewhere import AWAY, Elsewhere
from vcm_mt import device as device_module
from vcm_mt.datasets.mini import prepare
from vcm_mt.datasets.mini.figure_writer import prepare_figures

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=("cpu", "cuda", "elsewhere"),
        default="cpu",
        help="where networks are built and pictures coded; elsewhere: tests.elsewhere's GPU that "
        "is not there, on a CPU",
    )


def pytest_configure(config):
    if config.getoption("--device") != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the tools that tests start, too
    elif not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda: PyTorch sees no GPU here")


#: The modules that take longest, the longest first: no process is left alone with one at the end.
LONG = (
    "test_finetune", "test_endings", "test_rp_curve", "test_train_and_test", "test_codec",
    "test_distributed", "test_devices", "test_variable_rate", "test_runner", "test_other_codecs",
    "test_resume", "test_configs", "test_wheel", "test_shared_out", "test_split", "test_truth",
    "test_outputs", "test_golden_training",
)  # fmt: skip


def pytest_collection_modifyitems(config, items):
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
    if config.getoption("--device") == "cuda":
        skip = pytest.mark.skip(reason="for a CPU alone")
        for item in items:
            if item.get_closest_marker("cpu"):
                item.add_marker(skip)


@pytest.fixture
def device(pytestconfig, monkeypatch) -> Iterator[torch.device]:
    """Where a test builds its networks and has its pictures: what ``--device`` says."""
    name = pytestconfig.getoption("--device")
    if name != "elsewhere":
        yield torch.device(name)
        return
    seen = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)
    monkeypatch.setattr(device_module, "torch", SimpleNamespace(cuda=seen, device=torch.device))
    with Elsewhere():
        yield AWAY


@pytest.fixture(autouse=True)
def _default_scope():
    """A training in a test leaves its scope behind, in which the next one would look for things."""
    known = DefaultScope._instance_dict.copy()
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(known)


@pytest.fixture(scope="session", autouse=True)
def _at_root():
    os.chdir(ROOT)  # configs name each other and the data from there
    # Tests run side by side, a process per core.
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def mini(tmp_path_factory) -> Path:
    """A very small embedded set: 6 pictures to train on, 4 to validate."""
    folder = tmp_path_factory.mktemp("mini")
    prepare(folder, sizes={"train": 6, "val": 4})
    return folder


@pytest.fixture(scope="session")
def figures(tmp_path_factory) -> Path:
    """Very few of the embedded figures: 6 pictures to train on, 4 to validate."""
    folder = tmp_path_factory.mktemp("figures")
    prepare_figures(folder, sizes={"train": 6, "val": 4})
    return folder


def small_options(mini: Path) -> dict[str, str]:
    """``--cfg-options`` that make configs/mini/stage1_det.py quick and point it at ``mini``."""
    options = {
        f"{split}_dataloader.dataset.data_root": str(mini) for split in ("train", "val", "test")
    }
    annotations = str(mini / "annotations" / "val.json")
    return options | {
        "val_evaluator.1.ann_file": annotations,
        "test_evaluator.1.ann_file": annotations,
        "model.codec.N": "8",
        "model.codec.M": "12",
        "levels.2.codec.checkpoint": "None",  # levels 3 and 6, where the chains start
        "levels.5.codec.checkpoint": "None",
        "model.tasks.det.checkpoint": "None",
        "train_dataloader.batch_size": "2",
        "train_cfg.max_iters": "4",
        "train_cfg.val_interval": "4",
        "default_hooks.checkpoint.interval": "2",
        "default_hooks.logger.interval": "1",
    }


@pytest.fixture
def stage1_config(mini: Path) -> Config:
    """One level of configs/mini/stage1_det.py on the very small set."""
    config = Config.fromfile("configs/mini/stage1_det.py")
    for split in ("train", "val", "test"):
        config[f"{split}_dataloader"].dataset.data_root = str(mini)
    for name in ("val_evaluator", "test_evaluator"):
        config[name][1].ann_file = str(mini / "annotations" / "val.json")
    config.model.codec = {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}
    config.model.tasks.det.checkpoint = None
    config.model.lmbda = 0.3
    config.train_dataloader.batch_size = 2
    return config


@pytest.fixture
def people_config(stage1_config: Config) -> Iterator[Config]:
    """Six quick steps of a codec for people, on crops; a checkpoint after each second one.

    At one thread, where two runs do the same sums in the same order.
    """
    config = stage1_config
    config.model.tasks = {"people": {"type": "HumanTask"}}
    crop = {"type": "mmdet.RandomCrop", "crop_size": (64, 64), "allow_negative_crop": True}
    load, *_, pack = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset.pipeline = [load, crop, pack]
    for split in ("val", "test"):
        config[f"{split}_dataloader"] = config[f"{split}_evaluator"] = None
        config[f"{split}_cfg"] = None
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 6}
    config.default_hooks.checkpoint.interval = 2
    config.default_hooks.logger.interval = 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield config
    torch.set_num_threads(threads)


#: Starts processes that have imported already what takes a script most of its time to import.
_STARTER = multiprocessing.get_context("forkserver")
_STARTER.set_forkserver_preload(
    ["vcm_mt.training.run", "vcm_mt.report.report", "vcm_mt.models.vcm_system", "vcm_mt.engine",
     "vcm_mt.apis.codec", "vcm_mt.metrics", "vcm_mt.datasets.coco"]
)  # fmt: skip


class Tool:
    """A script of tools/ that runs as a user would start it, in a process of its own.

    Args:
        name: Of the script, without its ending.
        arguments: Of its command line.
        environment: Variables beside those of this process. ``OMP_NUM_THREADS`` is the number of
            PyTorch's threads; others that libraries read at import come too late.
    """

    def __init__(self, name: str, *arguments: str, **environment: str) -> None:
        self.command = [f"tools/{name}.py", *arguments]
        self._folder = tempfile.TemporaryDirectory()
        self._told = [Path(self._folder.name) / stream for stream in ("out", "err")]
        variables = {**os.environ, **environment}
        self._process = _STARTER.Process(
            target=_run_script, args=(self.command, variables, *self._told)
        )
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its status, or None while it runs."""
        return self._process.exitcode

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, and wait for that."""
        self._process.kill()
        self._process.join()

    def ended(self, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        """Wait for its end; its status and what it printed."""
        self._process.join(timeout)
        assert self.poll() is not None, "it goes on"
        out, err = (path.read_text() for path in self._told)
        return subprocess.CompletedProcess(self.command, self.poll(), out, err)


def run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of tools/ to its end."""
    tool = Tool(name, *arguments)
    try:
        return tool.ended()
    finally:
        tool.kill()


def _run_script(command: list[str], environment: dict[str, str], out: Path, err: Path) -> None:
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.argv = command
    sys.path.insert(0, str((ROOT / command[0]).parent))
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
