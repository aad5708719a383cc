"""tools/codec.py on pictures and videos as people have them."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from compressai.models import MeanScaleHyperprior
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import run_tool
from vcm_mt.apis import Receiver, Transmitter
from vcm_mt.apis.pictures import read_picture
from vcm_mt.bitstream.container import SequenceReader, pack, unpack
from vcm_mt.errors import BitstreamError, ConfigError, DataError
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter as Network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small codec as a training writes it."""
    torch.manual_seed(3)
    codec = MeanScaleHyperprior(8, 12)
    network, synthesis = Network(codec, 4), Synthesis(codec.g_s)
    network.update_tables()
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
    record = {"codec": {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}, "quality": 4}
    path = tmp_path_factory.mktemp("codec") / "iter_1.pth"
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def ends(checkpoint):
    """Both ends of a channel."""
    return Transmitter.load(checkpoint), Receiver.load(checkpoint)


def _noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def _shoot(film, seconds):
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i",
            f"testsrc=size=96x80:rate=25:duration={seconds}", "-c:v", "ffv1", str(film),
        ],
        check=True,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (65, 257), (64, 64)])
def test_any_size_comes_back(ends, size):
    transmitter, receiver = ends
    data = transmitter.encode(_noise(*size, 3))
    picture = receiver.decode(data)
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8


def test_pictures_of_every_kind_are_the_same_picture(ends):
    transmitter, _ = ends
    array = _noise(40, 50, 3)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    wanted = transmitter.encode(array)
    opaque = Image.fromarray(array).convert("RGBA")
    for same in (Image.fromarray(array), tensor, tensor.float() / 255, array / 255.0, opaque):
        assert transmitter.encode(same) == wanted
    grey = _noise(40, 50)
    assert transmitter.encode(grey) == transmitter.encode(Image.fromarray(grey))
    assert transmitter.encode(grey) == transmitter.encode(np.repeat(grey[..., None], 3, 2))
    deep = grey.astype(np.uint16) * 257
    assert transmitter.encode(deep) == transmitter.encode(grey)
    assert transmitter.encode(deep.astype(">u2")) == transmitter.encode(grey)
    assert transmitter.encode(Image.fromarray(deep)) == transmitter.encode(grey)
    cmyk = Image.fromarray(array).convert("CMYK")
    assert transmitter.encode(cmyk) == transmitter.encode(cmyk.convert("RGB"))


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (np.zeros((4, 4, 4), np.uint8), "1 or 3 channels"),
        (np.zeros((0, 4, 3), np.uint8), "1 or 3 channels"),
        (np.full((4, 4, 3), 255.0), "must lie in"),
        (np.full((4, 4, 3), np.nan), "must lie in"),
        (np.zeros((4, 4, 3), np.int32), "use uint8"),
        (np.zeros(4, np.uint8), "no picture"),
        (Image.new("RGBA", (4, 4), (1, 2, 3, 9)), "transparent"),
        (Image.new("F", (4, 4)), "no fixed range"),
        ("street.jpg", "no picture"),
    ],
)
def test_what_cannot_be_sent_is_refused(ends, picture, told):
    with pytest.raises(DataError, match=told):
        ends[0].encode(picture)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.ppm", b"P6 4 x 255\n"), ("b.pgm", b"P5 4 4 255\n12"), ("c.bmp", b"BM" + bytes(60))],
)
def test_broken_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is not a readable picture"):
        read_picture(tmp_path / name)


def test_files_of_many_kinds(tmp_path):
    deep = (_noise(9, 7).astype(np.uint16) * 257).astype(">u2")
    (tmp_path / "deep.pgm").write_bytes(b"P5 7 9 65535\n" + deep.tobytes())
    wanted = torch.from_numpy(deep.astype(np.float32) / 65535)
    assert torch.equal(read_picture(tmp_path / "deep.pgm")[0, 0], wanted)
    first, second = (Image.fromarray(_noise(8, 8) // n) for n in (1, 2))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match="holds 2 pictures"):
        read_picture(tmp_path / "a.gif")


@pytest.mark.parametrize(
    "pictures", [torch.zeros(1, 1, 4, 4), torch.zeros(3, 4, 4), torch.full((1, 3, 4, 4), 2.0)]
)
def test_batches_that_are_none(ends, pictures):
    with pytest.raises(DataError, match="together|must lie in"):
        ends[0].encode_batch(pictures)


def test_batches_and_single_pictures_decode_alike(ends):
    transmitter, receiver = ends
    pictures = torch.rand(8, 3, 70, 90, generator=torch.Generator().manual_seed(1))
    packets = [unpack(data) for data in transmitter.encode_batch(pictures)]
    together = receiver.decode_packets(packets)
    alone = torch.cat([receiver.decode_packets([packet]) for packet in packets])
    assert (together - alone).abs().max() < 1 / 255
    with pytest.raises(BitstreamError, match="one size"):
        receiver.decode_packets([packets[0], unpack(transmitter.encode(_noise(5, 5, 3)))])


def test_files_of_other_kinds_are_no_checkpoints(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, path)
    with pytest.raises(ConfigError, match="does not say of which codec"):
        Transmitter.load(path)
    with pytest.raises(ConfigError, match="no weights at"):
        Transmitter.load(tmp_path / "none.pth")


def test_a_receiver_that_is_not_there(checkpoint):
    with pytest.raises(ConfigError, match="no receiver 'segm', but shared"):
        Receiver.load(checkpoint, "segm")


@pytest.mark.parametrize("sender_amp", [False, True])
def test_either_end_chooses_its_own_precision(checkpoint, sender_amp):
    data = Transmitter.load(checkpoint, amp=sender_amp).encode(_noise(70, 90, 3))
    exact, quick = (Receiver.load(checkpoint, amp=amp) for amp in (False, True))
    assert torch.equal(exact.latents([unpack(data)]), quick.latents([unpack(data)]))
    difference = np.abs(exact.decode(data).astype(int) - quick.decode(data))
    assert 0 < difference.max() <= 3  # levels of 255


def test_a_receivers_file_is_enough_to_decode(ends, tmp_path):
    transmitter, receiver = ends
    path = tmp_path / "people.safetensors"
    receiver.save(path)
    other = Receiver.load(path)
    data = transmitter.encode(_noise(70, 90, 3))
    assert np.array_equal(other.decode(data), receiver.decode(data))
    assert not [key for key in load_file(path) if "g_a" in key or "h_a" in key or ".h_s" in key]
    assert other.record["transmitter"] == transmitter.fingerprint


def test_damaged_receivers_are_refused(ends, tmp_path):
    path = tmp_path / "people.safetensors"
    with pytest.raises(ConfigError, match="ends in .safetensors"):
        ends[1].save(tmp_path / "people.pth")
    ends[1].save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="not a readable file"):
        Receiver.load(path)
    record = {**ends[1].record, "codec": {"arch": "MeanScaleHyperprior", "N": 8, "M": 16}}
    Receiver(ends[1].entropy, ends[1].synthesis, record).save(path)
    with pytest.raises(ConfigError, match="does not fit the codec"):
        Receiver.load(path)
    for changes, told in (
        ({"codec": {"arch": "MeanScaleHyperprior", "N": -1, "M": 16}}, "does not fit|MeanScale"),
        ({"codec": "none"}, "does not say of which codec"),
        ({"transmitter": "no digits"}, "does not fit"),
        ({"transmitter": 7}, "does not fit"),
    ):
        damaged = Receiver(ends[1].entropy, ends[1].synthesis, {**ends[1].record})
        damaged.record |= changes
        damaged.save(path)
        with pytest.raises(ConfigError, match=told):
            Receiver.load(path)


def test_a_receiver_of_another_transmitter_refuses(ends, tmp_path):
    path = tmp_path / "people.safetensors"
    other = {**ends[1].record, "transmitter": "00" * 32}
    Receiver(ends[1].entropy, ends[1].synthesis, other).save(path)
    with pytest.raises(BitstreamError, match="was made by transmitter"):
        Receiver.load(path).decode(ends[0].encode(_noise(8, 8, 3)))


def test_too_large_a_picture_is_refused_before_any_work(ends):
    with pytest.raises(BitstreamError, match="cannot be sent"):
        ends[0].encode_batch(torch.empty(1, 3, 1, 1).expand(1, 3, 70000, 2))


@pytest.mark.slow
def test_twelve_megapixels(ends):
    transmitter, receiver = ends
    picture = np.tile(_noise(40, 30, 3), (100, 100, 1))
    assert receiver.decode(transmitter.encode(picture)).shape == (4000, 3000, 3)


def test_one_picture_there_and_back(checkpoint, tmp_path):
    Image.fromarray(_noise(30, 40, 3)).save(tmp_path / "a.png")
    coded, back = tmp_path / "a.vcm", tmp_path / "b.png"
    given = ["--transmitter", str(checkpoint)]
    assert (
        run_tool("codec", "encode", str(tmp_path / "a.png"), "-o", str(coded), *given).returncode
        == 0
    )
    told = run_tool("codec", "info", str(coded)).stdout
    assert "40 x 30" in told
    assert "quality      4" in told
    assert run_tool("codec", "decode", str(coded), "-o", str(back), *given).returncode == 0
    assert Image.open(back).size == (40, 30)
    small, again = tmp_path / "receiver.safetensors", tmp_path / "c.png"
    assert run_tool("codec", "export", str(checkpoint), "-o", str(small)).returncode == 0
    given = ["--receiver", str(small)]
    assert run_tool("codec", "decode", str(coded), "-o", str(again), *given).returncode == 0
    assert again.read_bytes() == back.read_bytes()


def test_a_video_becomes_a_sequence(checkpoint, tmp_path):
    film, coded = tmp_path / "film.mkv", tmp_path / "film.vcm"
    _shoot(film, 0.8)
    given = ["--transmitter", str(checkpoint)]
    done = run_tool("codec", "encode", str(film), "-o", str(coded), *given)
    assert done.returncode == 0, done.stderr
    reader = SequenceReader(coded.read_bytes())
    assert (len(reader), reader.fps, reader.whole) == (20, (25, 1), True)
    cut = tmp_path / "cut.vcm"
    cut.write_bytes(coded.read_bytes()[: coded.stat().st_size // 2])
    done = run_tool("codec", "decode", str(cut), "-o", str(tmp_path / "frames"), *given)
    assert done.returncode == 0, done.stderr
    assert "was cut off" in done.stderr
    frames = sorted((tmp_path / "frames" / "cut").glob("*.png"))
    assert 5 <= len(frames) < 20
    assert Image.open(frames[0]).size == (96, 80)
    start, end = reader._places[3]
    data = bytearray(coded.read_bytes())
    data[(start + end) // 2] ^= 1
    cut.write_bytes(data)
    done = run_tool("codec", "decode", str(cut), "-o", str(tmp_path / "more"), *given)
    assert done.returncode == 1
    assert "picture 3 of the sequence is damaged" in done.stderr
    assert "1 of 20 pictures are lost" in done.stderr
    names = [path.stem for path in sorted((tmp_path / "more" / "cut").glob("*.png"))]
    assert names == [f"{number:06}" for number in range(20) if number != 3]
    for number in (19, 20, 21):
        shutil.copy(frames[0], tmp_path / "frames" / "cut" / f"{number:06}.png")
    cut.write_bytes(coded.read_bytes())
    done = run_tool("codec", "decode", str(cut), "-o", str(tmp_path / "frames"), *given)
    assert done.returncode == 0, done.stderr
    assert "holds 2 pictures of another sequence, from 000020.png on" in done.stderr


def test_what_is_done_already_is_skipped(checkpoint, tmp_path):
    pictures, coded = tmp_path / "pictures", tmp_path / "coded"
    pictures.mkdir()
    for name in "abc":
        Image.fromarray(_noise(30, 40, 3)).save(pictures / f"{name}.png")
    given = ["--transmitter", str(checkpoint)]
    arguments = ["codec", "encode", str(pictures), "-o", str(coded), *given, "--resume"]
    assert run_tool(*arguments).returncode == 0
    whole = {path: path.read_bytes() for path in sorted(coded.iterdir())}
    for path in whole:
        os.utime(path, (1, 1))
    kept, cut, foreign = whole
    cut.write_bytes(whole[cut][:-1])
    packet = unpack(whole[foreign])
    foreign.write_bytes(pack(replace(packet, transmitter=bytes(4))))
    assert run_tool(*arguments).returncode == 0
    assert {path: path.read_bytes() for path in sorted(coded.iterdir())} == whole
    assert kept.stat().st_mtime == 1


def test_a_video_that_breaks_off_is_told(checkpoint, tmp_path):
    film, coded = tmp_path / "film.mkv", tmp_path / "film.vcm"
    _shoot(film, 2)
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    given = ["--transmitter", str(checkpoint)]
    done = run_tool("codec", "encode", str(film), "-o", str(coded), *given)
    assert done.returncode == 0, done.stderr
    reader = SequenceReader(coded.read_bytes())
    assert f"breaks off: {len(reader)} of about 50 pictures" in done.stderr
    assert 10 < len(reader) < 49


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.png", b"no picture", "not a readable picture"),
        ("a.mp4", b"no film", "not a readable video"),
    ],
)
def test_damaged_inputs_are_named(checkpoint, tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    done = run_tool(
        "codec", "encode", str(tmp_path / name), "-o", str(tmp_path / "o.vcm"),
        "--transmitter", str(checkpoint),
    )  # fmt: skip
    assert done.returncode == 1
    assert told in done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o.vcm").exists()


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path):
    done = run_tool("codec", "info", str(tmp_path / "none.vcm"))
    assert done.returncode == 1
    assert "none.vcm" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_few_hundred_damaged_streams():
    done = run_tool("fuzz", "--cases", "300", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'refused'" in done.stdout
