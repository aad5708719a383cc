"""Bitstreams that a training reads in place of an encoder."""

import pytest
import torch

from tests.test_models.test_devices import saved
from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.pictures import read_picture
from vcm_mt.datasets.bitstreams import LoadBitstream, write_bitstreams


@pytest.mark.parametrize("gains", [[], [0.5, 2.0]], ids=["one level", "two levels"])
def test_a_loaders_worker_stays_off_the_gpu(stage1_config, mini, tmp_path, monkeypatch, gains):
    """It is a fork of a training that uses the GPU: there CUDA cannot be started again."""
    stage1_config.model.update(gains=gains, lmbda=[0.3] * max(1, len(gains)))
    stage1 = saved(stage1_config, tmp_path / "iter_1.pth")
    sender = Transmitter.load(stage1, device="cpu")
    picture = mini / "train" / "000000.bmp"
    write_bitstreams(sender, [picture], mini, tmp_path / "coded", mirrored=False)

    def started(*_args, **_kwargs):
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_lazy_init", started)
    load = LoadBitstream(str(tmp_path / "coded"), str(mini), stage1)
    actual = load({"img_path": str(picture)})
    latents = [sender.network.quantise(read_picture(picture), q) for q in sender.qualities]
    assert any(torch.equal(actual["y_hat"], y_hat) for y_hat in latents)
    assert actual["img_shape"] == (256, 256)
