"""The benchmark of the prior's design: its figures are those of the bytes, and it trains."""

import json
import sys

import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from vcm_mt.apis.loading import load_training
from vcm_mt.bitstream.predicted import SequenceEncoder
from vcm_mt.checkpoint import fingerprint
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.datasets.mini.videos import video

LEVEL = 3


@pytest.fixture
def variants(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    import prior_variants

    return prior_variants


@pytest.fixture(scope="module")
def codec():
    network, receivers, _ = load_training("zoo://photos_det", "cpu")
    parts = nn.ModuleDict({"network": network, "receivers": nn.ModuleDict(receivers)}).eval()
    return parts.requires_grad_(False)


@pytest.fixture(scope="module")
def pictures():
    """Videos of a still and of a shaking camera, uint8 [2, 6, 3, H, W]."""
    made = [[torch.from_numpy(f.picture) for f in video(0, "val", n, 6)] for n in (0, 2)]
    return torch.stack([torch.stack(one) for one in made]).permute(0, 1, 4, 2, 3)


@pytest.fixture(scope="module")
def latents(codec, pictures):
    return torch.stack([codec["network"].analyse(one.float() / 255) for one in pictures])


def test_estimated_bits_are_those_of_the_bytes(variants, codec, latents):
    network = codec["network"]
    y = variants.scaled(network, latents, LEVEL)
    own = variants.Variant(network, prior=network.temporal)
    told, y_hat = variants.sent(own, network, y)
    for number, one in enumerate(y):
        encoder = SequenceEncoder(network.entropy, network.temporal)
        coded = [encoder.encode(frame[None]) for frame in one]
        real = sum(8 * len(picture.string) for picture in coded[1:])
        assert real == pytest.approx(float(told[number].sum()), rel=0.05)
        assert torch.allclose(coded[-1].y_hat[0], y_hat[number, -1], atol=1.1)
    intra, _ = variants.sent(None, network, y)
    assert (told <= intra + 1).all()


@pytest.mark.parametrize("setting", [{}, {"past": 1}, {"with_z": True}])
def test_a_variant_learns_and_the_codec_stays(variants, codec, latents, setting):
    network = codec["network"]
    one = variants.Variant(network, **setting)
    y, before = variants.scaled(network, latents, LEVEL), fingerprint(codec)
    rates = [float(variants.rate(one, y).predicted.detach())]
    variants.train(one, latents, 12, "")
    rates.append(float(variants.rate(one, y).predicted.detach()))
    assert rates[1] < 0.97 * rates[0]
    assert fingerprint(codec) == before


def test_z_is_paid(variants, codec, latents):
    network = codec["network"]
    y = variants.scaled(network, latents, LEVEL)[:, 0]
    torch.manual_seed(0)
    plain, kept = (variants.Variant(network, with_z=z).rounded(y, [y, y]) for z in (False, True))
    z_hat, likelihoods = network.entropy.entropy_bottleneck(network.entropy.h_a(y))
    z_bits = -likelihoods.log2().sum((1, 2, 3))
    # Untrained, both predict "as before"; what they draw at random has no weight yet.
    assert torch.allclose(kept.bits, plain.bits + z_bits, rtol=1e-4)


def test_joint_training_moves_the_encoder_alone(variants, codec, pictures, latents):
    network = codec["network"]
    frozen = variants.Variant(network, prior=network.temporal)
    before = fingerprint(codec)
    torch.manual_seed(0)
    one = variants.train_joint(frozen, codec["receivers"], pictures, latents, 2, "")
    assert fingerprint(codec) == before
    assert fingerprint(one.network.g_a) != fingerprint(network.g_a)
    assert fingerprint(one.prior) != fingerprint(network.temporal)
    assert fingerprint(one.network.entropy) == fingerprint(network.entropy)


@pytest.mark.slow
def test_the_table(variants, tmp_path, monkeypatch):
    import bench_prior

    data, out = tmp_path / "videos", tmp_path / "out"
    prepare_videos(data, sizes={"train": (2, 5), "val": (3, 4)})
    given = ["--data", str(data), "--steps", "2", "--joint", "1", "--level", "2", "4"]
    monkeypatch.setattr(sys, "argv", ["bench_prior.py", *given, "--out", str(out)])
    assert bench_prior.main() == 0
    rows = json.loads((out / "prior.json").read_text())["rows"]
    names = ["intra", "as released", "two latents", "one latent", "z kept", "with g_a"]
    assert [(row["prior"], row["level"]) for row in rows] == [(n, q) for n in names for q in (2, 4)]
    assert all(set(row["bits"]) == {"still", "pan", "shake", "all"} for row in rows)
    assert all(0 < row["box_mAP"] < 100 for row in rows)
    assert "| 2, z kept" in (out / "prior.md").read_text()
