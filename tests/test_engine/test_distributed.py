"""Two real processes train one codec, started as on one machine and as on a SLURM cluster."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT, run_tool, small_options

# What a cluster has in place of these two, for two processes on this machine.
SRUN = """#!/usr/bin/env bash
echo "$@" > "$(dirname "$0")/srun.txt"
while [[ $1 == --* ]]; do shift; done
for rank in 0 1; do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NTASKS=2 SLURM_NODELIST="node[1-2]" "$@" &
    started+=($!)
done
for process in "${started[@]}"; do wait "$process" || exit 1; done
"""
SCONTROL = """#!/usr/bin/env bash
[[ $1 == show && $2 == hostnames && $3 == "node[1-2]" ]] || exit 1
printf '127.0.0.1\\n127.0.0.2\\n'
"""


@pytest.fixture
def train_on_two(mini, tmp_path):
    """Runs a script of tools/ on a small training, both of whose processes tell their weights."""
    options = {**small_options(mini), "train_dataloader.batch_size": "1"}
    config = tmp_path / "two.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/mini/stage1_det.py')!r}\n"
        "custom_imports = dict(imports=['tests.test_engine.rank_digest'])\n"
        "custom_hooks = [*_base_.custom_hooks, "
        f"dict(type='mmengine.RankDigestHook', folder={str(tmp_path)!r})]\n"
    )

    def run(script, *before, after=(), **environment):
        return subprocess.run(
            [
                ROOT / "tools" / script, *before, str(config), *after, "--quality", "3",
                "--cfg-options", *(f"{k}={v}" for k, v in options.items()),
            ],
            env={**os.environ, "PYTHON": sys.executable, **environment},
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def _trained_as_one(done, work_dir, tmp_path):
    assert done.returncode == 0, done.stderr[-3000:]
    weights = torch.load(work_dir / "q3" / "iter_4.pth", weights_only=True)["state_dict"]
    assert all(torch.isfinite(v).all() for v in weights.values() if v.is_floating_point())
    ranks = [(tmp_path / f"rank{rank}.txt").read_text() for rank in range(2)]
    assert ranks[0] == ranks[1]
    # Every validation picture was counted, whichever process coded it.
    assert "Iter(val) [2/2]" in done.stdout + done.stderr


def test_two_processes_train_and_share_the_validation(train_on_two, tmp_path):
    work_dir = tmp_path / "torchrun"
    done = train_on_two("dist_train.sh", after=["2", "--work-dir", str(work_dir)], PORT="29617")
    _trained_as_one(done, work_dir, tmp_path)


def test_a_cluster_without_gpus(train_on_two, tmp_path):
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    work_dir = tmp_path / "slurm"
    done = train_on_two(
        "slurm_train.sh", "cpus", "a job", after=[str(work_dir)],
        PATH=f"{tmp_path}:{os.environ['PATH']}", PORT="29618", GPUS="2", GRES="",
        SRUN_ARGS="--time=10 --exclusive",
    )  # fmt: skip
    _trained_as_one(done, work_dir, tmp_path)
    asked = (tmp_path / "srun.txt").read_text()
    assert "--partition=cpus --job-name=a job --ntasks=2" in asked
    assert "--time=10 --exclusive" in asked
    assert "--gres" not in asked


@pytest.mark.parametrize("launcher", ["pytorch", "slurm"])
def test_a_launcher_that_did_not_start_it(launcher, mini, tmp_path):
    options = [f"{k}={v}" for k, v in small_options(mini).items()]
    done = run_tool(
        "train", "configs/mini/stage1_det.py", "--quality", "3", "--work-dir", str(tmp_path),
        "--launcher", launcher, "--cfg-options", *options,
    )  # fmt: skip
    assert done.returncode == 1
    assert "use tools/dist_train.sh or tools/slurm_train.sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["dist_train.sh", "slurm_train.sh"])
def test_a_launcher_script_without_arguments_tells_how(script):
    done = subprocess.run([ROOT / "tools" / script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"tools/{script} " in done.stderr
