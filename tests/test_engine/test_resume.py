"""A training that is killed and resumed ends where an undisturbed one ends."""

import time

import pytest
import torch

from tests.conftest import ROOT, Tool, run_tool, small_options


def _arguments(mini, work_dir, **more):
    options = {**small_options(mini), "train_cfg.max_iters": "8", **more}
    return [
        "configs/mini/stage1_det.py",
        "--quality",
        "3",
        "--work-dir",
        str(work_dir),
        "--cfg-options",
        *(f"{key}={value}" for key, value in options.items()),
    ]


def _weights(work_dir):
    path = (work_dir / "q3" / "last_checkpoint").read_text()
    return torch.load(path, map_location="cpu", weights_only=False)


def _kill_after_first_checkpoint(arguments, work_dir):
    process = Tool("train", *arguments)
    deadline = time.monotonic() + 240
    while not (work_dir / "q3" / "last_checkpoint").is_file():
        assert process.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.05)
    process.kill()


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


@pytest.fixture
def chained(mini, tmp_path):
    """Arguments of tools/train.py for two small levels, the first after the second."""
    path = tmp_path / "chained.py"
    path.write_text(
        f'_base_ = "{ROOT}/configs/mini/stage1_det.py"\n'
        "levels = [dict(lmbda=0.1, after=2), dict(lmbda=0.9)]\n"
    )
    options = {k: v for k, v in small_options(mini).items() if not k.startswith("levels")}
    given = [f"{key}={value}" for key, value in options.items()]
    return [str(path), "--work-dir", str(tmp_path / "w"), "--cfg-options", *given]


def test_a_level_goes_on_from_the_one_before_and_not_as_if_it_were_it(chained, tmp_path):
    still = "optim_wrapper.main.optimizer.lr=0.0"
    done = run_tool("train", *chained, still, "--quality", "1", "2", "--resume")
    assert done.returncode == 0, done.stderr
    one, two = (
        torch.load((tmp_path / "w" / q / "last_checkpoint").read_text(), weights_only=False)
        for q in ("q1", "q2")
    )
    assert one["meta"]["iter"] == two["meta"]["iter"] == 4  # both were trained
    for name, value in two["state_dict"].items():
        if "g_a" in name or "g_s" in name:
            assert torch.equal(value, one["state_dict"][name]), name


def test_a_level_without_the_one_before_says_so(chained):
    failed = run_tool("train", *chained, "--quality", "1")
    assert failed.returncode == 1
    assert "no checkpoint in" in failed.stderr
    assert "Traceback" not in failed.stderr
