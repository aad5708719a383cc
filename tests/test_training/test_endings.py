"""A training that something outside ends says so in one line, and goes on from its checkpoint."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, Tool
from vcm_mt.checkpoint import find_checkpoint, list_checkpoints
from vcm_mt.errors import TrainingError, VCMError
from vcm_mt.training.endings import clear_ends
from vcm_mt.training.run import train

_HANG = 300  # seconds, far above what any of this takes


@pytest.fixture
def training(people_config, tmp_path):
    """Starts a training of many steps in a process, a checkpoint after each; waits for one."""
    people_config.levels = []
    people_config.train_cfg.max_iters = 5000
    people_config.train_dataloader.update(
        num_workers=1, persistent_workers=True, worker_init_fn={"type": "vcm_mt.end_with_parent"}
    )
    people_config.default_hooks.checkpoint.interval = 1
    started = []
    # Under `make test-slow &` Ctrl-C is ignored, and a process that is started would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def _start(*options, wait=True, **environment):
        people_config.dump(tmp_path / "config.py")
        given = [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / "w"), *options]
        tool = Tool("train", *given, PYTHONPATH=str(ROOT), **environment)
        started.append(tool)
        deadline = time.monotonic() + _HANG
        while wait and not list_checkpoints(tmp_path / "w"):
            assert tool.poll() is None, tool.ended().stderr[-3000:]
            assert time.monotonic() < deadline, "no checkpoint yet"
            time.sleep(0.05)
        return tool

    yield _start
    signal.signal(signal.SIGINT, before)
    for tool in started:
        tool.kill()


def _children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _told(process, *words):
    done = process.ended(_HANG)
    said = done.stderr
    assert done.returncode == 1, said[-3000:]
    assert "Traceback" not in said, said[-3000:]
    lines = re.findall("TrainingError: .*", said)
    assert len(lines) == 1, said[-3000:]
    (line,) = lines
    for word in (*words, "--resume"):
        assert word in line, line


def _goes_on(config, work_dir):
    at = torch.load(find_checkpoint(work_dir), weights_only=True)["meta"]["iter"]
    config.train_cfg.max_iters = at + 1
    train(config, work_dir, resume=True)
    assert find_checkpoint(work_dir).name == f"iter_{at + 1}.pth"
    assert not list(work_dir.glob("*.part"))


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGTERM, "SIGTERM"), pytest.param(signal.SIGINT, "Ctrl-C", marks=pytest.mark.slow)],
)
def test_stopped(training, number, name):
    process = training()
    process.send(number)
    _told(process, f"stopped by {name}")


def test_no_worker_outlives_a_killed_training(people_config, training):
    load, _, pack = people_config.train_dataloader.dataset.pipeline
    masks = {"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_mask": True}
    people_config.train_dataloader.dataset.pipeline = [load, masks, pack]  # these fill a pipe
    process = training()
    workers = _children(process.pid)
    assert workers
    process.kill()
    deadline = time.monotonic() + _HANG
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker stays"
        time.sleep(0.1)


def test_a_full_disk_under_the_logs(people_config, tmp_path):
    (tmp_path / "full.json").symlink_to("/dev/full")  # every write to it fails for want of room
    local = people_config.visualizer.vis_backends[0]
    local.scalar_save_file = str(tmp_path / "full.json")
    words = "the disk is full .*No space left.*: make room, then .* --resume"
    with pytest.raises(TrainingError, match=words), clear_ends():
        train(people_config, tmp_path / "w")


def test_a_signal_while_a_config_is_printed():
    """mmengine calls whatever ends that a SyntaxError."""
    with pytest.raises(TrainingError, match="stopped by SIGTERM"), clear_ends():
        try:
            raise KeyboardInterrupt("SIGTERM")
        except KeyboardInterrupt:
            raise SyntaxError("failed to format the config file")  # noqa: B904


def test_a_worker_whose_death_is_told_late():
    """Its connection closes first; the signal comes while that is looked into."""

    def tell(*_):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    before = signal.signal(signal.SIGALRM, tell)
    try:
        with pytest.raises(TrainingError, match="pid 7.*--resume"), clear_ends():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            raise ConnectionResetError("Connection reset by peer")
    finally:
        signal.signal(signal.SIGALRM, before)


def _allocate(*_, **__):
    torch.empty(1 << 50)


def _gpu_is_full(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 ...")


def _python_has_none(*_):
    raise MemoryError


def _system_has_none(*_):
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def _cublas_has_none(*_):
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize(
    "fail", [_allocate, _gpu_is_full, _python_has_none, _system_has_none, _cublas_has_none]
)
def test_too_little_memory(fail):
    words = r"memory ran out \(\S.*batch_size.*checkpoint_activations.*--amp.*--resume"
    with pytest.raises(TrainingError, match=words), clear_ends():
        fail()


def test_too_little_memory_in_a_worker():
    loader = torch.utils.data.DataLoader([0], num_workers=1, collate_fn=_allocate)
    words = r"memory ran out \(.*can't allocate memory.*batch_size"
    with pytest.raises(TrainingError, match=words), clear_ends():
        next(iter(loader))


def test_too_little_memory_in_a_step(people_config, tmp_path, monkeypatch):
    monkeypatch.setattr("vcm_mt.models.vcm_system.VCMSystem.train_step", _allocate)
    with pytest.raises(TrainingError, match="memory ran out"), clear_ends():
        train(people_config, tmp_path / "w")


def test_a_second_training_in_the_same_folder(training, people_config, tmp_path):
    process = training()
    with pytest.raises(TrainingError, match=f"another training.*process {process.pid}"):
        train(people_config, tmp_path / "w")
    process.kill()
    _goes_on(people_config, tmp_path / "w")


def test_a_bug_stays_one():
    with pytest.raises(RuntimeError, match="shapes differ") as caught, clear_ends():
        raise RuntimeError("shapes differ")
    assert not isinstance(caught.value, VCMError)


def test_a_killed_worker(training, people_config, tmp_path):
    process = training()
    (worker,) = _children(process.pid)
    os.kill(worker, signal.SIGKILL)
    _told(process, "DataLoader worker (pid", str(worker), "memory", "num_workers")
    _goes_on(people_config, tmp_path / "w")


def test_a_worker_that_hangs(training, people_config, tmp_path):
    """Here its storage does, as a network's may: the picture is a pipe that nobody writes to."""
    folder = shutil.copytree(people_config.train_dataloader.dataset.data_root, tmp_path / "set")
    people_config.train_dataloader.dataset.data_root = str(folder)
    people_config.train_dataloader.timeout = 2
    process = training()
    for picture in (folder / "train").iterdir():
        picture.unlink()
        os.mkfifo(picture)
    _told(process, "DataLoader timed out after 2 seconds", "train_dataloader.timeout")


def test_a_lost_process_is_noticed_by_the_other(training):
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29629", "WORLD_SIZE": "2"}
    lost, left = (
        training("--launcher", "pytorch", wait=rank == 0, RANK=str(rank), LOCAL_RANK="0", **address)
        for rank in (1, 0)
    )
    lost.kill()
    _told(left, "another process of this training is gone")


@pytest.mark.slow
def test_torchrun_ends_and_goes_on(people_config, training, tmp_path):
    assert training  # the fixture makes the config one of many steps
    people_config.dump(tmp_path / "config.py")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
        "--master_port", "29628", "tools/train.py", str(tmp_path / "config.py"),
        "--work-dir", str(tmp_path / "w"), "--launcher", "pytorch",
    ]  # fmt: skip
    agent = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not list_checkpoints(tmp_path / "w"):
        assert agent.poll() is None
        time.sleep(0.05)
    os.kill(_children(agent.pid)[1], signal.SIGKILL)
    _, said = agent.communicate(timeout=_HANG)
    assert agent.returncode == 1
    (told,) = [line for line in said.splitlines() if line.startswith("TrainingError: ")]
    assert "stopped by SIGTERM" in told or "another process of this training is gone" in told
    assert "--resume" in told
    _goes_on(people_config, tmp_path / "w")
