"""Two real processes train one codec."""

import subprocess
import sys

import torch

from tests.conftest import ROOT, small_options


def test_two_processes_train_and_share_the_validation(mini, tmp_path):
    options = {**small_options(mini), "train_dataloader.batch_size": "1"}
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
            "--master_port", "29617", "tools/train.py", "configs/mini/stage1_det.py",
            "--quality", "3", "--work-dir", str(tmp_path), "--launcher", "pytorch",
            "--cfg-options", *(f"{k}={v}" for k, v in options.items()),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    weights = torch.load(tmp_path / "q3" / "iter_4.pth", weights_only=True)["state_dict"]
    assert all(torch.isfinite(v).all() for v in weights.values() if v.is_floating_point())
    # Every validation picture was counted, whichever process coded it.
    assert "Iter(val) [2/2]" in done.stdout + done.stderr
