"""A batch means the same on one process and on two."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT, small_options


def _train(config, work_dir, processes, **options):
    """Run tools/train.py on some processes, each with its share of a batch of two pictures."""
    port = ["--master_port", "29641"]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), *port]
    options["train_dataloader.batch_size"] = str(2 // processes)
    done = subprocess.run(
        [
            sys.executable, *(launch if processes > 1 else []), "tools/train.py", str(config),
            "--quality", "3", "--work-dir", str(work_dir), "--resume",
            "--launcher", "pytorch" if processes > 1 else "none",
            "--cfg-options", *(f"{key}={value}" for key, value in options.items()),
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def _step(mini, tmp_path, processes):
    """A step's gradients and log: a detector with a dense signal beside it, and a human viewer.

    The detector's weight is small: a ReLU or a max-pool that rounding switches moves its gradient
    in a layer by up to 5 %, and the gradients of rate and viewer are compared far below that.
    """
    path, config = tmp_path / f"{processes}.pt", tmp_path / f"{processes}.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/mini/stage1_det.py')!r}\n"
        "custom_imports = dict(imports=['tests.test_engine.rank_gradients'])\n"
        "model = dict(tasks=dict(det=dict(weight=1e-5), "
        "people=dict(type='HumanTask', weight=1e-3)))\n"
        "custom_hooks = [*_base_.custom_hooks, "
        f"dict(type='mmengine.RankGradientsHook', path={str(path)!r})]\n"
    )
    options = small_options(mini) | {
        "train_cfg.max_iters": "1",
        "model.amp": "False",
        "model.tasks.det.checkpoint": "zoo://faster_rcnn",
    }
    _train(config, tmp_path / f"run{processes}", processes, **options)
    return torch.load(path)


def test_two_processes_have_the_loss_and_gradients_of_one(mini, tmp_path):
    """Every sampler is full, so both see the same proposals."""
    one, two = (_step(mini, tmp_path, processes) for processes in (1, 2))
    assert one["log"].keys() == two["log"].keys()
    for name in ("loss", "loss_rate", "bpp_train", "loss_det", "loss_people", "det/cls"):
        assert two["log"][f"train/{name}"] == pytest.approx(one["log"][f"train/{name}"], rel=1e-5)
    assert one["gradients"].keys() == two["gradients"].keys()
    for name, expected in one["gradients"].items():
        error = (two["gradients"][name] - expected).norm() / expected.norm().clamp_min(1e-12)
        assert error < 1e-3, (name, error)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(1, 2), (2, 1)])
def test_a_run_goes_on_with_another_number_of_processes(mini, tmp_path, processes):
    config, work_dir = ROOT / "configs/mini/stage1_det.py", tmp_path / "run"
    for count, iterations in zip(processes, (2, 4), strict=True):
        options = small_options(mini) | {
            "train_cfg.max_iters": str(iterations),
            "train_cfg.val_interval": "9",
        }
        _train(config, work_dir, count, **options)
    last = torch.load((work_dir / "q3" / "last_checkpoint").read_text(), weights_only=True)
    assert last["meta"]["iter"] == 4
    assert all(v.isfinite().all() for v in last["state_dict"].values() if v.is_floating_point())
