"""tools/codec.py on pictures and videos as people have them."""

import copy
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from zipfile import ZipFile

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from compressai.models import MeanScaleHyperprior
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import ROOT, Tool, run_tool
from vcm_mt.apis import Receiver, Transmitter
from vcm_mt.apis.pictures import read_picture
from vcm_mt.bitstream.container import pack, unpack
from vcm_mt.bitstream.sequence import SequenceReader, SequenceWriter
from vcm_mt.errors import BitstreamError, ConfigError, DataError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter as Network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small codec as a training writes it."""
    torch.manual_seed(3)
    return _written(MeanScaleHyperprior(8, 12), tmp_path_factory.mktemp("codec"))


def _written(codec, folder):
    network, synthesis = Network(codec, 4), Synthesis(codec.g_s)
    network.update_tables()
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
    sizes = {"N": codec.N, "M": codec.M}
    record = {"codec": {"arch": "MeanScaleHyperprior", **sizes}, "quality": 4}
    path = folder / "iter_1.pth"
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
        (np.zeros((4, 4, 3), np.int32), "must be uint8"),
        (np.zeros(4, np.uint8), r"must be \[H, W, 3\]"),
        (Image.new("RGBA", (4, 4), (1, 2, 3, 9)), "transparent"),
        (Image.new("F", (4, 4)), "no fixed range"),
        ("street.jpg", "must be a PIL image"),
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
    with pytest.raises(DataError, match="batch of pictures must be|must lie in"):
        ends[0].encode_batch(pictures)


def test_batches_and_single_pictures_decode_alike(ends):
    transmitter, receiver = ends
    pictures = torch.rand(8, 3, 70, 90, generator=torch.Generator().manual_seed(1))
    packets = [unpack(data) for data in transmitter.encode_batch(pictures)]
    together = receiver.decode_packets(packets)
    alone = torch.cat([receiver.decode_packets([packet]) for packet in packets])
    assert (together - alone).abs().max() < 1 / 255
    with pytest.raises(BitstreamError, match="equal size"):
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
    with pytest.raises(ConfigError, match="end in .safetensors"):
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
    start, end, _ = reader._places[3]
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
    assert "has 2 pictures of another sequence, from 000020.png on" in done.stderr


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
    done = run_tool("benchmarks/fuzz", "--cases", "300", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'refused'" in done.stdout


def _codec(capsys, *arguments, status=0):
    """Run tools/codec.py in this process; what it printed, and told."""
    main = runpy.run_path(str(ROOT / "tools" / "codec.py"))["main"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["codec.py", *map(str, arguments)])
        patch.setattr(warnings, "showwarning", lambda text, *_: print(text, file=sys.stderr))
        found = main()
    said = capsys.readouterr()
    assert found == status, said.err
    assert status == 0 or "Error: " in said.err
    return said.out, said.err


def _damage(path, number):
    data = bytearray(path.read_bytes())
    start, end, _ = SequenceReader(bytes(data))._places[number]
    data[(start + end) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def sequence(ends, tmp_path):
    """A sequence of five pictures, 96x64."""
    pictures = np.random.default_rng(5).integers(0, 256, (5, 64, 96, 3), np.uint8)
    path = tmp_path / "film.vcm"
    with path.open("wb") as file:
        writer = SequenceWriter(file, fps=(25, 1))
        for picture in pictures:
            writer.write(unpack(ends[0].encode(picture)))
        writer.close()
    return path


@pytest.mark.parametrize("name", ["street.jpg", "street.bin", "street.pgn", "street.vcm"])
def test_decode_writes_png_or_into_a_folder(capsys, checkpoint, ends, tmp_path, name):
    coded, out = tmp_path / "a.vcm", tmp_path / name
    coded.write_bytes(ends[0].encode(_noise(8, 9, 3)))
    out = tmp_path / "new" / name
    given = ["decode", coded, "-o", out, "--transmitter", checkpoint]
    _, told = _codec(capsys, *given, status=1)
    assert f"{name} is neither a folder nor a .png file" in told
    assert not out.parent.exists()
    out.mkdir(parents=True)  # a folder that is there may have any name
    _codec(capsys, *given)
    assert (out / "a.png").is_file()


def test_several_inputs_do_not_become_one_file(capsys, checkpoint, tmp_path):
    for name in "ab":
        Image.fromarray(_noise(8, 9, 3)).save(tmp_path / f"{name}.png")
    given = ["encode", tmp_path / "a.png", tmp_path / "b.png", "--transmitter", checkpoint]
    _, told = _codec(capsys, *given, "-o", tmp_path / "all.vcm", status=1)
    assert "all.vcm is neither a folder nor a .vcm file for one input" in told
    _codec(capsys, *given, "-o", tmp_path / "run_0.5")
    assert sorted(p.name for p in (tmp_path / "run_0.5").iterdir()) == ["a.vcm", "b.vcm"]


def test_a_sequence_is_no_single_png(capsys, checkpoint, sequence, tmp_path):
    given = ["decode", sequence, "-o", tmp_path / "out.png", "--transmitter", checkpoint]
    _, told = _codec(capsys, *given, status=1)
    assert "film.vcm is a sequence of pictures: give a folder" in told
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("out")]


@pytest.mark.parametrize("numbers", [[], [0], [2, 4], [0, 1, 2, 3, 4]])
def test_info_tells_what_a_damaged_sequence_holds(capsys, sequence, tmp_path, numbers):
    for number in numbers:
        _damage(sequence, number)
    other, last = tmp_path / "none.vcm", tmp_path / "last.vcm"
    other.write_bytes(b"VCM")
    shutil.copy(sequence, last)
    said, told = _codec(capsys, "info", sequence, other, last, status=1)
    for line in ("kind         sequence", "pictures     5", "size         96 x 64", "whole"):
        assert said.count(line) == 2
    assert f"{other}: the bitstream is truncated" in told
    assert said.count("  damaged ") == 2 * bool(numbers)
    if numbers:
        assert f"{len(numbers)}, the first is picture {numbers[0]}" in said
        assert f"{sequence}: picture {numbers[0]} of the sequence is damaged" in told


@pytest.mark.parametrize("number", [0, 7, 9])
def test_a_damaged_sequence_is_coded_anew(capsys, checkpoint, tmp_path, number):
    film, coded = tmp_path / "film.mkv", tmp_path / "film.vcm"
    _shoot(film, 0.4)
    given = ["encode", film, "-o", coded, "--transmitter", checkpoint]
    _codec(capsys, *given)
    whole = coded.read_bytes()
    assert "1 of 1 streams stay" in _codec(capsys, *given, "--resume")[0]
    _damage(coded, number)
    assert "0 of 1 streams stay" in _codec(capsys, *given, "--resume")[0]
    assert coded.read_bytes() == whole


def test_a_picture_that_was_changed_is_coded_anew(capsys, checkpoint, tmp_path):
    picture, coded = tmp_path / "a.png", tmp_path / "a.vcm"
    Image.fromarray(_noise(30, 40, 3)).save(picture)
    given = ["encode", picture, "-o", coded, "--transmitter", checkpoint, "--resume"]
    _codec(capsys, *given)
    os.utime(coded, (1, 1))
    assert "1 of 1 streams stay" in _codec(capsys, *given)[0]
    assert coded.stat().st_mtime == 1
    time.sleep(0.02)  # what file systems tell moments apart by
    Image.fromarray(255 - _noise(30, 40, 3)).save(picture)
    os.utime(picture, (1, 1))  # as copied with its time
    assert "0 of 1 streams stay" in _codec(capsys, *given)[0]
    assert coded.stat().st_mtime > 1


def test_decoding_goes_on_after_what_is_right(capsys, checkpoint, ends, sequence, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "out" / "film"
    given = ["decode", sequence, "-o", out, "--transmitter", checkpoint, "--resume"]
    _codec(capsys, *given)
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    assert len(whole) == 5
    kept, cut, flipped, foreign, other = whole
    for path in whole:
        os.utime(path, (1, 1))
    cut.write_bytes(whole[cut][:-30])
    damaged = bytearray(whole[flipped])
    damaged[len(damaged) // 2] ^= 1
    flipped.write_bytes(damaged)
    Image.fromarray(_noise(64, 96, 3)).save(foreign)
    shutil.copy(kept, other)  # of another stream
    _codec(capsys, *given)
    assert {path: path.read_bytes() for path in sorted(folder.iterdir())} == whole
    assert kept.stat().st_mtime == 1
    synthesis = copy.deepcopy(ends[1].synthesis)
    with torch.no_grad():
        synthesis.g_s[0].bias += 0.5
    Receiver(ends[1].entropy, synthesis, ends[1].record).save(tmp_path / "b.safetensors")
    _codec(capsys, *given[:4], "--receiver", tmp_path / "b.safetensors", "--resume")
    assert all(path.read_bytes() != data for path, data in whole.items())


def test_refined_streams_are_known(capsys, tmp_path):
    trained = build_codec("MeanScaleHyperprior", N=48, M=96, checkpoint="zoo://mse_1")
    checkpoint = _written(trained, tmp_path)
    config, picture = tmp_path / "c.py", tmp_path / "a.png"
    config.write_text(
        f'_base_ = "{ROOT}/configs/mini/stage1_det.py"\n'
        'model = dict(tasks=dict(_delete_=True, people=dict(type="HumanTask")))\n'
    )
    Image.fromarray(_noise(9, 7, 3)).resize((64, 64)).save(picture)
    given = ["encode", picture, "-o", tmp_path / "a.vcm", "--transmitter", checkpoint, "--resume"]
    made = {}
    for steps in (0, 3, 6, 3, 0):
        refine = ["--refine", steps, "--refine-config", config] if steps else []
        said, _ = _codec(capsys, *given, *refine)
        assert "0 of 1 streams stay" in said, steps  # the one that is there was made otherwise
        data = (tmp_path / "a.vcm").read_bytes()
        assert made.setdefault(steps, data) == data
        said, _ = _codec(capsys, *given, *refine)
        assert "1 of 1 streams stay" in said
    assert len(set(made.values())) == 3


@pytest.mark.parametrize("content", ["config", "picture", "stream", "zip", "pickle", "detector"])
def test_other_files_are_no_transmitter(capsys, ends, tmp_path, content):
    path, picture = tmp_path / "given.pth", tmp_path / "a.png"
    Image.fromarray(_noise(30, 40, 3)).save(picture)
    if content == "config":
        shutil.copy(ROOT / "configs" / "mini" / "stage1_det.py", path)
    elif content == "picture":
        shutil.copy(picture, path)
    elif content == "stream":
        path.write_bytes(ends[0].encode(_noise(30, 40, 3)))
    elif content == "zip":
        with ZipFile(path, "w") as archive:
            archive.writestr("a", "b")
    elif content == "pickle":
        path.write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00(K\x01\x8c\x01ae.")
    else:
        torch.save({"backbone.weight": torch.zeros(2)}, path)
    out = ["-o", tmp_path / "a.vcm", "--transmitter", path]
    _, told = _codec(capsys, "encode", picture, *out, status=1)
    (line,) = [line for line in told.splitlines() if "Error: " in line]
    assert line.startswith(f"ConfigError: {path} ")
    assert len(line) < 400
    with pytest.raises(ConfigError, match="given.pth"):
        Receiver.load(path)


def test_a_receivers_file_is_no_transmitter(capsys, ends, tmp_path):
    Image.fromarray(_noise(30, 40, 3)).save(tmp_path / "a.png")
    ends[1].save(tmp_path / "receiver.safetensors")
    given = ["--transmitter", tmp_path / "receiver.safetensors"]
    _, told = _codec(
        capsys, "encode", tmp_path / "a.png", "-o", tmp_path / "a.vcm", *given, status=1
    )
    assert "is a receiver's file, which cannot encode: give the training's checkpoint" in told


def test_weights_of_another_codec_are_told_in_a_line(checkpoint, tmp_path):
    loaded = torch.load(checkpoint, weights_only=True)
    loaded["meta"]["record"] = loaded["meta"]["record"].replace('"M": 12', '"M": 16')
    torch.save(loaded, tmp_path / "iter_1.pth")
    with pytest.raises(ConfigError, match="does not fit the codec that it names") as caught:
        Transmitter.load(tmp_path / "iter_1.pth")
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_the_only_level_of_a_folder_is_taken(capsys, checkpoint, tmp_path):
    picture, folder = tmp_path / "a.png", tmp_path / "stage1"
    Image.fromarray(_noise(30, 40, 3)).save(picture)
    (folder / "q4").mkdir(parents=True)
    shutil.copy(checkpoint, folder / "q4")
    given = ["--transmitter", folder]
    _codec(capsys, "encode", picture, "-o", tmp_path / "a.vcm", *given)
    _codec(capsys, "decode", tmp_path / "a.vcm", "-o", tmp_path / "b.png", *given)
    _codec(capsys, "export", folder, "-o", tmp_path / "r" / "receiver.safetensors")
    shutil.copytree(folder / "q4", folder / "q10")
    _, told = _codec(capsys, "encode", picture, "-o", tmp_path / "a.vcm", *given, status=1)
    assert "has qualities q4, q10: name one of them" in told


def test_a_name_that_is_not_utf8(ends, tmp_path):
    path = os.fsencode(tmp_path) + b"/na\xefve.vcm"
    with open(path, "wb") as file:
        file.write(ends[0].encode(_noise(9, 7, 3)))
    done = subprocess.run(
        [sys.executable, "tools/codec.py", "info", path],
        cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert b"na?ve.vcm" in done.stdout
    assert b"7 x 9" in done.stdout


def test_a_stopped_run_says_how_to_go_on(checkpoint, tmp_path):
    (tmp_path / "in").mkdir()
    for name in range(300):
        Image.fromarray(_noise(384, 512, 3)).save(tmp_path / "in" / f"{name:03}.bmp")
    given = ["encode", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    process = Tool("codec", *given, "--transmitter", str(checkpoint))
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/*.vcm")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send(signal.SIGINT)
    done = process.ended(60)
    said = done.stderr
    assert done.returncode == 1
    assert said.endswith(
        "StoppedError: stopped by Ctrl-C: the same command with --resume goes on\n"
    )
    assert "Traceback" not in said
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".vcm"}


def test_a_file_of_an_unknown_ending(capsys, checkpoint, tmp_path):
    picture, text = tmp_path / "a.photo", tmp_path / "a.txt"
    Image.fromarray(_noise(30, 40, 3)).save(picture, "PNG")
    text.write_text("no picture")
    given = ["-o", tmp_path / "a.vcm", "--transmitter", checkpoint]
    _codec(capsys, "encode", picture, *given)
    _, told = _codec(capsys, "encode", text, *given, status=1)
    assert "a.txt is not a readable picture" in told
    assert "the endings of videos are .264" in told
