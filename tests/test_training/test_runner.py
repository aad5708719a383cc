"""The Runner's device, and what is not of every platform."""

import ast
import subprocess
import sys

import mmengine.device
import mmengine.device.utils
import pytest
import torch

from tests.conftest import ROOT
from vcm_mt.apis.detector import Detector
from vcm_mt.apis.system import build_system
from vcm_mt.device import check_ops
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.models.tasks import MMDetTask
from vcm_mt.training.dry_run import dry_run
from vcm_mt.training.processes import peak_memory
from vcm_mt.training.run import join_processes, train
from vcm_mt.training.runner import build_runner


def test_a_mac_trains_on_its_cpu(people_config, tmp_path, monkeypatch):
    """mmengine would take mps, which this package's float64 rules out."""
    monkeypatch.setattr(mmengine.device.utils, "DEVICE", "mps")
    people_config.work_dir = str(tmp_path)
    runner = build_runner(people_config)
    assert mmengine.device.get_device() in ("cpu", "cuda")
    assert next(runner.model.parameters()).device.type == mmengine.device.get_device()


def test_a_mac_spawns_its_workers(people_config, tmp_path, monkeypatch):
    """Spawned workers get their data set, and all that they call, by pickle."""
    monkeypatch.setattr("vcm_mt.training.runner.sys.platform", "darwin")
    before = torch.multiprocessing.get_start_method(allow_none=True)
    people_config.train_dataloader.update(
        num_workers=1, persistent_workers=True, worker_init_fn={"type": "vcm_mt.end_with_parent"}
    )
    people_config.train_cfg.max_iters = 1
    try:
        train(people_config, tmp_path)
        assert torch.multiprocessing.get_start_method() == "spawn"
    finally:
        torch.multiprocessing.set_start_method(before, force=True)
    assert (tmp_path / "iter_1.pth").is_file()


def test_processes_that_cannot_meet_are_told(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"do not meet .*WORLD_SIZE.*MASTER_PORT"):
        join_processes("pytorch")


def test_ops_that_are_not_there_are_told_before_anything_runs():
    check_ops("cpu")
    words = "built without META.*make setup.*nvcc.*CUDA_VISIBLE_DEVICES"
    with pytest.raises(ConfigError, match=words):  # a device that no build of mmcv has
        check_ops("meta")


def test_a_gpu_without_ops_is_told_wherever_detectors_go(stage1_config, tmp_path, monkeypatch):
    def lacking(*_):
        raise RuntimeError("nms_impl: implementation for device cuda:0 not found.\n")

    monkeypatch.setattr("mmcv.ops.nms", lacking)
    task = stage1_config.model.tasks.det
    for use in (
        lambda: train(stage1_config, tmp_path),
        lambda: dry_run(stage1_config, tmp_path),
        lambda: build_system(stage1_config),
        lambda: TestSet(stage1_config),
        lambda: Detector(MMDetTask(**{k: v for k, v in task.items() if k != "type"})),
    ):
        with pytest.raises(ConfigError, match="mmcv's ops do not run on"):
            use()
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize("folder", ["vcm_mt", "tools"])
def test_modules_of_one_platform_alone_are_imported_where_they_are_used(folder):
    ours = {"fcntl", "grp", "msvcrt", "pty", "pwd", "resource", "termios", "winreg"}
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = {alias.name for alias in getattr(node, "names", [])}
            assert not ours & (names | {getattr(node, "module", None)}), file


def test_mmdet_has_nothing_to_say_of_data_sets_that_are_not_used():
    code = "import vcm_mt.metrics, vcm_mt.datasets.loading, vcm_mt.datasets.coco"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == ""


def test_peak_memory_is_in_bytes():
    before = peak_memory()
    torch.ones(1 << 26)
    assert 1 << 27 < peak_memory() - before < 1 << 30 or before > 1 << 28
