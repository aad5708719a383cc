"""A training that is killed and resumed ends where an undisturbed one ends."""

import signal
import subprocess
import sys
import time

import torch

from tests.conftest import ROOT, run_tool, small_options


def _arguments(mini, work_dir, **more):
    options = {**small_options(mini), "train_cfg.max_iters": "8", **more}
    return [
        "configs/mini/stage1_det.py",
        "--quality",
        "1",
        "--work-dir",
        str(work_dir),
        "--cfg-options",
        *(f"{key}={value}" for key, value in options.items()),
    ]


def _weights(work_dir):
    path = (work_dir / "q1" / "last_checkpoint").read_text()
    return torch.load(path, map_location="cpu", weights_only=False)


def _kill_after_first_checkpoint(arguments, work_dir):
    process = subprocess.Popen(
        [sys.executable, "tools/train.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not (work_dir / "q1" / "last_checkpoint").is_file():
        assert process.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_and_resumed_equals_undisturbed(mini, tmp_path):
    one = run_tool("train", *_arguments(mini, tmp_path / "one"))
    assert one.returncode == 0, one.stderr
    killed = _arguments(mini, tmp_path / "two")
    _kill_after_first_checkpoint(killed, tmp_path / "two")
    assert _weights(tmp_path / "two")["meta"]["iter"] < 8
    two = run_tool("train", *killed, "--resume")
    assert two.returncode == 0, two.stderr
    undisturbed, resumed = _weights(tmp_path / "one"), _weights(tmp_path / "two")
    assert undisturbed["meta"]["iter"] == resumed["meta"]["iter"] == 8
    for name, value in undisturbed["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    assert "Iter(train)" in one.stdout + one.stderr
    assert "eta" in one.stdout + one.stderr
    assert list((tmp_path / "one").rglob("events.out.tfevents*"))
