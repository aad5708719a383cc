"""Two real processes train one codec."""

import os
import subprocess
import sys

import torch

from tests.conftest import ROOT, small_options


def test_two_processes_train_and_share_the_validation(mini, tmp_path):
    options = {**small_options(mini), "train_dataloader.batch_size": "1"}
    config = tmp_path / "two.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/mini/stage1_det.py')!r}\n"
        "custom_imports = dict(imports=['tests.test_engine.rank_digest'])\n"
        "custom_hooks = [*_base_.custom_hooks, "
        f"dict(type='mmengine.RankDigestHook', folder={str(tmp_path)!r})]\n"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
            "--master_port", "29617", "tools/train.py", str(config),
            "--quality", "9", "--work-dir", str(tmp_path), "--launcher", "pytorch",
            "--cfg-options", *(f"{k}={v}" for k, v in options.items()),
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    weights = torch.load(tmp_path / "q9" / "iter_4.pth", weights_only=True)["state_dict"]
    assert all(torch.isfinite(v).all() for v in weights.values() if v.is_floating_point())
    ranks = [(tmp_path / f"rank{rank}.txt").read_text() for rank in range(2)]
    assert ranks[0] == ranks[1]
    # Every validation picture was counted, whichever process coded it.
    assert "Iter(val) [2/2]" in done.stdout + done.stderr
