"""The mean of trainings: a codec like any other, and refused where there is none."""

import json

import pytest
import torch
from compressai.models import MeanScaleHyperprior

from vcm_mt.apis import Receiver, Transmitter
from vcm_mt.apis.average import average
from vcm_mt.errors import ConfigError
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter as Network


def training_folder(folder, seed, quality=2, sizes=(8, 12)):
    torch.manual_seed(0)
    codec = MeanScaleHyperprior(*sizes)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    network, synthesis = Network(codec, quality), Synthesis(codec.g_s)
    network.update_tables()
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
    sizes = dict(zip("NM", sizes, strict=True))
    record = {"codec": {"arch": "MeanScaleHyperprior", **sizes}, "quality": quality}
    folder.mkdir()
    checkpoint = {"meta": {"record": json.dumps(record)}, "state_dict": state}
    torch.save(checkpoint, folder / "iter_4.pth")
    return folder


def test_a_mean_codes_and_is_a_transmitter_of_its_own(tmp_path):
    own = [training_folder(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    checkpoint = average(own, tmp_path / "mean")
    ends = [Transmitter.load(place) for place in (*own, tmp_path / "mean")]
    assert len({end.fingerprint for end in ends}) == 4
    weights = [end.network.g_a[0].weight for end in ends]
    assert torch.allclose(torch.stack(weights[:3]).mean(0), weights[3], atol=1e-7)
    picture = torch.rand(3, 70, 90)
    data = ends[3].encode(picture)
    assert Receiver.load(checkpoint).decode(data).shape == (70, 90, 3)


def test_the_mean_of_one_and_the_same_is_itself(tmp_path):
    own = training_folder(tmp_path / "1", 1)
    average([own, own], tmp_path / "mean")
    assert Transmitter.load(tmp_path / "mean").fingerprint == Transmitter.load(own).fingerprint


def test_what_has_no_mean_is_refused(tmp_path):
    own = training_folder(tmp_path / "1", 1)
    with pytest.raises(ConfigError, match="two trainings"):
        average([own], tmp_path / "mean")
    for number, other in enumerate(({"quality": 3}, {"sizes": (8, 16)})):
        with pytest.raises(ConfigError, match="cannot be averaged"):
            average(
                [own, training_folder(tmp_path / f"other{number}", 2, **other)], tmp_path / "mean"
            )
    assert not (tmp_path / "mean").exists()
