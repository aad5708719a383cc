"""Training of a temporal prior: it learns, and nothing else changes."""

import json

import pytest
import torch
from compressai.models import MeanScaleHyperprior
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope

from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.temporal_system import TemporalSystem
from vcm_mt.models.transmitter import Transmitter

FRAMES = 4


@pytest.fixture(scope="module")
def stage1(tmp_path_factory):
    torch.manual_seed(3)
    codec = MeanScaleHyperprior(16, 24)
    with torch.no_grad():
        codec.g_a[-1].weight.mul_(40)  # so that the latent is not all zeros
    network, synthesis = Transmitter(codec, 3), Receiver(codec.g_s)
    network.update_tables()
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    for name in ("shared", "other"):
        state |= {f"receivers.{name}.{k}": v for k, v in synthesis.state_dict().items()}
    record = {"codec": {"arch": "MeanScaleHyperprior", "N": 16, "M": 24}, "quality": 3}
    path = tmp_path_factory.mktemp("codec") / "iter_1.pth"
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, path)
    return path


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance("test_temporal_system", scope_name="vcm_mt")


def system(stage1, **settings):
    tasks = settings.pop("tasks", {"people": {"type": "HumanTask"}})
    return TemporalSystem(str(stage1), tasks, width=8, **{"lmbda": 0.01, **settings})


def clips(count=2, size=64):
    """Pictures that move to the right by a pixel a frame, and their samples."""
    torch.manual_seed(5)
    scene = torch.rand(count, 3, size, size + FRAMES)
    frames = [scene[..., n : n + size] for n in range(FRAMES)]
    x = torch.stack(frames, 1).flatten(0, 1)
    samples = []
    for number in range(len(x)):
        shape = {"img_shape": (size, size), "ori_shape": (size, size)}
        samples.append(DetDataSample(metainfo={**shape, "clip_place": number % FRAMES}))
    return x, samples


def test_the_prior_learns_and_nothing_else_changes(stage1):
    one = system(stage1, lmbda=0.0)
    before = {name: fingerprint(part) for name, part in one.frozen().items()}
    trained = [p for p in one.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {
        id(p) for layer in (one.prior.linear, one.prior.body) for p in layer.parameters()
    }
    optimiser = torch.optim.Adam(trained, 3e-3)
    x, samples = clips()
    rates = []
    for _ in range(60):
        losses = one.loss(x, samples)
        loss = sum(value for key, value in losses.items() if "loss" in key)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.append(float(losses["bpp_train"]))
    assert rates[-1] < 0.7 * rates[0]
    assert before == {name: fingerprint(part) for name, part in one.frozen().items()}


def test_the_receivers_and_the_transmitter_stay_those_of_stage_1(stage1):
    one = system(stage1)
    one.update_tables()
    known = torch.load(stage1, weights_only=True)["state_dict"]
    own = one.state_dict()
    assert set(one.receivers) == {"shared", "other"}
    assert all(torch.equal(own[key], value) for key, value in known.items())
    assert one.transmitter.prior_mark and one.transmitter.prior_mark == one.prior.mark
    assert one.record["temporal"] == 8


def test_the_rate_is_that_of_the_bytes(stage1):
    from vcm_mt.bitstream.predicted import SequenceEncoder

    one = system(stage1)
    one.update_tables()
    x, samples = clips(count=1)
    told = float(one.loss(x, samples)["bpp_train"])
    encoder = SequenceEncoder(one.transmitter.entropy, one.prior)
    coded = [encoder.encode(y) for y in one.transmitter.analyse(x).split(1)]
    sent = sum(8 * len(picture.string) for picture in coded[1:]) / (3 * 64 * 64)
    assert sent == pytest.approx(told, rel=0.05)


def test_the_tasks_reach_the_prior(stage1):
    one = system(stage1)
    x, samples = clips()
    one.loss(x, samples)["loss_people"].backward()
    assert one.prior.linear.weight.grad.abs().sum() > 0


def test_what_is_refused(stage1, tmp_path):
    one = system(stage1)
    x, samples = clips()
    with pytest.raises(DataError, match="clips of two frames"):
        one.loss(x[:1], samples[:1])
    with pytest.raises(ConfigError, match="no receiver"):
        system(stage1, tasks={"people": {"type": "HumanTask", "receiver": "nobody"}})


def test_frames_are_sent_in_order_as_sequences(stage1):
    one = system(stage1).eval()
    one.update_tables()
    x, samples = clips()  # two videos
    for number, sample in enumerate(samples):
        told = {"video_id": number // FRAMES, "frame_id": number % FRAMES, "img_id": number}
        sample.set_metainfo(told)
    found = [sample.metainfo["coding"] for sample in one.predict(x, samples)]
    again = [sample.metainfo["coding"] for sample in one.predict(x, samples)]
    assert [c["num_bytes"] for c in found] == [c["num_bytes"] for c in again]
    for first in (0, FRAMES):
        key, *others = (c["num_bytes"] for c in found[first : first + FRAMES])
        assert all(sent < key for sent in others)
