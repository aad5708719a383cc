"""tools/dev/tune_entropy.py: the rate falls, and nothing else changes."""

import subprocess
import sys

import numpy as np
import torch
from PIL import Image
from skimage import data

from tests.small_codec import write_codec
from vcm_mt.apis.loading import load_training
from vcm_mt.checkpoint import fingerprint


def test_the_rate_falls_and_the_transforms_stay(tmp_path):
    before = write_codec(tmp_path / "iter_1.pth", 0, gains=(1.0, 2.0))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, picture in enumerate((data.astronaut(), data.chelsea(), data.coffee())):
        Image.fromarray(picture[100:290, 50:300]).save(pictures / f"{number}.png")
    command = [
        sys.executable, "tools/dev/tune_entropy.py", before, tmp_path / "tuned",
        "--pictures", pictures, "--times", "1", "--steps", "40", "--batch", "2", "--lr", "5e-3",
    ]  # fmt: skip
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (old, old_receivers, record), (new, new_receivers, record_) = (
        load_training(path) for path in (before, tmp_path / "tuned")
    )
    assert record == record_
    assert fingerprint(old.g_a) == fingerprint(new.g_a)
    assert fingerprint(old_receivers["shared"]) == fingerprint(new_receivers["shared"])
    x = torch.from_numpy(np.ascontiguousarray(data.chelsea()[:128, :192]))
    x = x.permute(2, 0, 1)[None] / 255.0
    for quality in (1, 2):
        sizes = [len(one.eval().encode(x, quality)[0]) for one in (old, new)]
        assert sizes[1] < 0.95 * sizes[0]
