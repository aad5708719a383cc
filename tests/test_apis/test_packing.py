"""A codec as one small file, and codecs and receivers of the zoo by name."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from compressai.models import MeanScaleHyperprior
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.packing import pack
from vcm_mt.apis.refined import refining
from vcm_mt.bitstream.container import unpack
from vcm_mt.checkpoint import zoo
from vcm_mt.cli.main import main
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.evaluation.experiment import trained
from vcm_mt.models.receiver_system import ReceiverSystem
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter as Network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small codec as a training writes it."""
    torch.manual_seed(3)
    codec = MeanScaleHyperprior(16, 24)
    with torch.no_grad():
        codec.g_a[-1].weight.mul_(40)  # so that the latent is not all zeros
    network, synthesis = Network(codec, 3), Synthesis(codec.g_s)
    network.update_tables()
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
    record = {"codec": {"arch": "MeanScaleHyperprior", "N": 16, "M": 24}, "quality": 3}
    path = tmp_path_factory.mktemp("codec") / "iter_1.pth"
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, path)
    return path


@pytest.fixture
def packed(checkpoint, tmp_path):
    path = tmp_path / "codec.safetensors"
    pack(checkpoint, path)
    return path


@pytest.fixture
def several(checkpoint, tmp_path):
    """A codec of two rates as a training writes it."""
    stored = torch.load(checkpoint, weights_only=True)
    codec = MeanScaleHyperprior(16, 24)
    network = Network(codec, 1, gains=(0.5, 1.0))
    known = {k.removeprefix("transmitter."): v for k, v in stored["state_dict"].items()}
    network.load_state_dict(known, strict=False)
    with torch.no_grad():
        network.gains.inverse[0] *= 1.1
    network.update_tables()
    state = dict(stored["state_dict"])
    state |= {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    record = json.loads(stored["meta"]["record"]) | {"gains": [0.5, 1.0], "quality": 1}
    path = tmp_path / "iter_2.pth"
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, path)
    return path


@pytest.fixture
def human(packed, tmp_path):
    return human_of(packed, tmp_path)


def human_of(packed, tmp_path):
    """A receiver for people on a packed codec, as stage 2 writes it."""
    receiver = Receiver.load(packed)
    with torch.no_grad():
        receiver.synthesis.g_s[-1].bias.add_(0.25)
    receiver.record |= {"name": "human", "tasks": ["human"]}
    receiver.save(tmp_path / "human.safetensors")
    return tmp_path / "human.safetensors"


PICTURE = np.random.default_rng(0).integers(0, 256, (70, 131, 3), np.uint8)


def test_it_codes_as_the_codec_does(checkpoint, packed):
    data = Transmitter.load(packed).encode(PICTURE)
    decoded = Receiver.load(packed).decode(data)
    whole = Receiver.load(checkpoint).decode(Transmitter.load(checkpoint).encode(PICTURE))
    assert np.abs(decoded.astype(int) - whole).mean() < 2  # of half precision
    assert packed.stat().st_size < 0.8 * checkpoint.stat().st_size  # tables are most of it


def test_it_is_a_transmitter_of_its_own(checkpoint, packed):
    data = Transmitter.load(packed).encode(PICTURE)
    with pytest.raises(BitstreamError, match="was made by transmitter"):
        Receiver.load(checkpoint).decode(data)


def test_integers_are_built_as_they_were(checkpoint, tmp_path):
    target = tmp_path / "codec.safetensors"
    assert pack(checkpoint, target) == Transmitter.load(target).fingerprint
    network = Transmitter.load(target).network
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.entropy.integer_h_s.build(
        network.entropy.h_s, network.entropy.gaussian_conditional.scale_table, narrow=True
    )
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_receivers_are_put_in_and_the_bits_stay(packed, human, tmp_path):
    again = tmp_path / "again.safetensors"
    assert pack(packed, again, [human]) == Transmitter.load(packed).fingerprint
    data = Transmitter.load(packed).encode(PICTURE)
    assert Transmitter.load(again).encode(PICTURE) == data
    shared, people = (Receiver.load(again, name).decode(data) for name in (None, "human"))
    assert np.array_equal(shared, Receiver.load(packed).decode(data))
    assert np.abs(people.astype(int) - Receiver.load(human).decode(data)).max() <= 1
    assert np.abs(people.astype(int) - shared).mean() > 20


def test_stage_2_starts_from_it(packed):
    tasks = {"human": {"type": "HumanTask", "receiver": "human"}}
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        system = ReceiverSystem(str(packed), tasks)
    assert system.transmitter.fingerprint() == Transmitter.load(packed).fingerprint
    assert system.send(torch.rand(1, 3, 64, 64))["human"].num_bytes > 0


def test_what_does_not_fit_is_told(checkpoint, packed, human, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in .safetensors"):
        pack(checkpoint, tmp_path / "codec.pth")
    other = Receiver.load(human)
    other.record["transmitter"] = "00" * 32
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="pack the codec first"):
        pack(packed, tmp_path / "again.safetensors", [tmp_path / "other.safetensors"])
    deep = Receiver.load(human)
    deep.record["depth"] = 2
    deep.synthesis = Synthesis(deep.synthesis.g_s, depth=2)
    deep.save(tmp_path / "deep.safetensors")
    with pytest.raises(ConfigError, match="latent adapter"):
        pack(packed, tmp_path / "again.safetensors", [tmp_path / "deep.safetensors"])


def test_the_zoo_has_codecs_and_receivers_by_name(packed, human, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "zoo"
    pack(packed, folder / "photos_det_3.safetensors", [human])
    digest = hashlib.sha256((folder / "photos_det_3.safetensors").read_bytes()).hexdigest()
    entry = {"sha256": digest, "command": "train it", "receivers": {"photos_human_3": "human"}}
    (folder / "zoo.json").write_text(json.dumps({"photos_det_3.safetensors": entry}))
    monkeypatch.setattr(zoo, "zoo_path", lambda name: folder / f"{name}.safetensors")
    picture, coded, back = (tmp_path / name for name in ("a.png", "a.vcm", "b.png"))
    Image.fromarray(PICTURE).save(picture)
    encode = ["encode", str(picture), "-o", str(coded), "--transmitter", "zoo://photos_det_3"]
    assert main(encode) == 0
    decode = ["decode", str(coded), "-o", str(back), "--receiver", "zoo://photos_human_3"]
    assert main(decode) == 0
    wanted = Receiver.load(folder / "photos_det_3.safetensors", "human").decode(coded.read_bytes())
    assert np.abs(np.asarray(Image.open(back)).astype(int) - wanted).max() <= 3  # --amp auto
    with pytest.raises(ConfigError, match="no 'photos_det_9', but photos_det_3, photos_human_3"):
        Transmitter.load("zoo://photos_det_9")
    (folder / "photos_det_3.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="is not the file that zoo.json lists"):
        Receiver.load("zoo://photos_human_3")


def test_the_command(checkpoint, tmp_path, capsys):
    target = tmp_path / "codec.safetensors"
    assert main(["export", str(checkpoint), "--whole", "-o", str(target)]) == 0
    told = capsys.readouterr().out
    assert f"transmitter {Transmitter.load(target).fingerprint[:8]}" in told
    for wrong in (["--merge"], ["--name", "shared"]):
        with pytest.raises(SystemExit):
            main(["export", str(checkpoint), "--whole", *wrong, "-o", str(target)])
    with pytest.raises(SystemExit):
        main(["export", str(checkpoint), "--receiver", str(target), "-o", str(target)])


def test_one_rate_of_a_codec_for_several(several, tmp_path):
    seen = Receiver.load(several)
    with torch.no_grad():
        seen.synthesis.g_s[-1].bias.add_(0.25)
    seen.record |= {"name": "human", "tasks": ["human"]}
    seen.save(tmp_path / "human.safetensors")

    sizes = []
    for quality in (1, 2):
        path = tmp_path / f"level{quality}.safetensors"
        files = ["--receiver", str(tmp_path / "human.safetensors")]
        main(
            ["export", str(several), "--whole", "--quality", str(quality), *files, "-o", str(path)]
        )
        data = Transmitter.load(path).encode(PICTURE)
        assert unpack(data).quality == quality
        one = Receiver.load(path).decode(data)
        known = Receiver.load(several).decode(Transmitter.load(several).encode(PICTURE, quality))
        assert np.abs(one.astype(int) - known).mean() < 1
        assert Receiver.load(path, "human").decode(data).mean() > one.mean() + 30
        sizes.append(len(data))
    assert sizes[0] < sizes[1]
    with pytest.raises(ConfigError, match="qualities 1 to 2, not"):
        pack(several, tmp_path / "none.safetensors", quality=3)


def test_each_rate_has_a_name_in_the_zoo(several, tmp_path, monkeypatch):
    folder = tmp_path / "zoo"
    pack(several, tmp_path / "photos.safetensors")
    receiver = Receiver.load(tmp_path / "photos.safetensors")
    receiver.record |= {"name": "human", "tasks": ["human"]}
    receiver.save(tmp_path / "human.safetensors")
    files = [tmp_path / "human.safetensors"]
    pack(tmp_path / "photos.safetensors", folder / "photos.safetensors", files)
    digest = hashlib.sha256((folder / "photos.safetensors").read_bytes()).hexdigest()
    entry = {"sha256": digest, "qualities": 2, "receivers": {"people": "human"}}
    (folder / "zoo.json").write_text(json.dumps({"photos.safetensors": entry}))
    monkeypatch.setattr(zoo, "zoo_path", lambda name: folder / f"{name}.safetensors")
    for quality in (1, 2):
        data = Transmitter.load(f"zoo://photos_{quality}").encode(PICTURE)
        assert unpack(data).quality == quality
        assert data == Transmitter.load("zoo://photos").encode(PICTURE, quality)
        assert Receiver.load(f"zoo://people_{quality}").record["name"] == "human"
        (codec,) = trained(Path(f"zoo://photos_{quality}"), [Path(f"zoo://people_{quality}")])
        assert codec.quality == quality and codec.receivers == ("shared", "human")
    assert [codec.quality for codec in trained(Path("zoo://photos"))] == [1, 2]
    with pytest.raises(ConfigError, match="but people, people_1, people_2, photos, photos_1"):
        Transmitter.load("zoo://photos_3")


def test_a_packed_rate_is_refined_by_the_config_of_all(checkpoint, tmp_path):
    packed = tmp_path / "level3.safetensors"
    pack(checkpoint, packed)  # of quality 3
    config = Config.fromfile("configs/mini/stage1_det_vbr.py")
    config.model.tasks = {"people": {"type": "HumanTask"}}
    pack(packed, packed, [human_of(packed, tmp_path)])  # a receiver that no task looks through
    transmitter = refining(config, packed, steps=1)
    assert transmitter.refiner.system.lmbdas == [config.model.lmbda[2]]
    assert transmitter.fingerprint == Transmitter.load(packed).fingerprint
    assert unpack(transmitter.encode(PICTURE)).quality == 3
