"""Live coding: from what comes in to what is shown, while it comes in."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tests.small_codec import write_codec
from tests.test_apis.test_videos import shoot
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.encoding import encode_files
from vcm_mt.apis.live import decode_live, encode_live, open_source, raw_frames
from vcm_mt.apis.raw import RawOptions, format_of
from vcm_mt.apis.videos import Video, open_video
from vcm_mt.bitstream.sequence import SequenceReader
from vcm_mt.errors import BitstreamError, DataError

SIZE = (80, 96)


@pytest.fixture(scope="module", params=[8, 0], ids=["predicted", "intra"])
def checkpoint(request, tmp_path_factory):
    return write_codec(tmp_path_factory.mktemp("codec") / "iter_1.pth", request.param)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return shoot(tmp_path_factory.mktemp("film") / "film.mkv", 0.4)


def _pictures(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_live_is_what_the_file_is(checkpoint, film, tmp_path):
    transmitter = Transmitter.load(checkpoint)
    encode_files(transmitter, [film], tmp_path / "film.vcm", key_interval=4)
    out = io.BytesIO()
    assert encode_live(transmitter, open_video(film), out, key_interval=4) == 10
    assert out.getvalue() == (tmp_path / "film.vcm").read_bytes()
    receiver, raw = Receiver.load(checkpoint), io.BytesIO()
    out.seek(0)
    assert decode_live(receiver, out, tmp_path / "seen") == 10
    out.seek(0)
    assert decode_live(receiver, out, raw) == 10
    seen = np.frombuffer(raw.getvalue(), np.uint8).reshape(10, *SIZE, 3)
    assert np.array_equal(seen, _pictures(tmp_path / "seen"))


def test_each_picture_is_sent_before_the_next_is_read(checkpoint):
    sent, out = [], io.BytesIO()

    def camera():
        rng = np.random.default_rng(0)
        for _ in range(5):
            yield rng.integers(0, 256, (*SIZE, 3), np.uint8)
            sent.append(len(SequenceReader(out.getvalue())))

    encode_live(Transmitter.load(checkpoint), Video(Path("-"), Fraction(25), 0, camera()), out)
    assert sent == [1, 2, 3, 4, 5]


def test_what_a_camera_sent_before_it_failed_decodes(checkpoint, tmp_path):
    def camera():
        yield from np.zeros((3, *SIZE, 3), np.uint8)
        raise DataError("unplugged")

    out = io.BytesIO()
    with pytest.raises(DataError, match="unplugged"):
        encode_live(Transmitter.load(checkpoint), Video(Path("-"), Fraction(25), 0, camera()), out)
    assert SequenceReader(out.getvalue()).whole
    out.seek(0)
    assert decode_live(Receiver.load(checkpoint), out, tmp_path) == 3


def test_damage_costs_the_pictures_up_to_the_next_key(checkpoint, film, tmp_path):
    out = io.BytesIO()
    encode_live(Transmitter.load(checkpoint), open_video(film), out, key_interval=4)
    data = bytearray(out.getvalue())
    reader = SequenceReader(bytes(data))
    data[reader._places[5].start + 4] ^= 1
    with pytest.raises(BitstreamError, match=r"pictures were lost in \d places; the others, \d"):
        decode_live(Receiver.load(checkpoint), io.BytesIO(bytes(data)), tmp_path)
    lost = {5, 6, 7} if reader.header.prior else {5}
    assert {int(path.stem) for path in tmp_path.glob("*.png")} == set(range(10)) - lost


def test_a_stream_that_was_cut_off_is_told(checkpoint, film, tmp_path):
    out = io.BytesIO()
    encode_live(Transmitter.load(checkpoint), open_video(film), out)
    end = SequenceReader(out.getvalue())._places[6].end
    with pytest.warns(UserWarning, match="cut off after 7 pictures"):
        decode_live(Receiver.load(checkpoint), io.BytesIO(out.getvalue()[:end]), tmp_path)


def test_raw_frames(film, tmp_path):
    """4:2:0 from FFmpeg, and back to RGB as it converts by itself."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(film),
        "-f", "rawvideo", "-pix_fmt", "yuv420p", str(tmp_path / "raw.yuv"),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    with (tmp_path / "raw.yuv").open("rb") as file:
        video = raw_frames(file, format_of("", RawOptions((SIZE[1], SIZE[0]), 29.97)))
        found = list(video.pictures)
    assert len(found) == 10
    assert video.fps == Fraction(30000, 1001)
    wanted = list(open_video(film).pictures)
    assert np.abs(np.stack(found).astype(int) - np.stack(wanted)).mean() < 8  # half the colour
    with (tmp_path / "raw.yuv").open("rb") as file, pytest.raises(DataError, match="4:2:0"):
        list(raw_frames(file, format_of("", RawOptions((1000, 1000)))).pictures)


def test_raw_frames_need_their_size():
    with pytest.raises(DataError, match="--size 1280x720"):
        open_source("-", RawOptions(), io.BytesIO())


def _command(*words):
    return [sys.executable, "-m", "vcm_mt", *map(str, words)]


def test_through_a_pipe(tmp_path, film):
    """The README's line: two processes, and nothing is written between them."""
    checkpoint = write_codec(tmp_path / "iter_1.pth", 8)
    sender = subprocess.Popen(
        _command("encode", film, "-o", "-", "--transmitter", checkpoint), stdout=subprocess.PIPE
    )
    told = subprocess.run(
        _command("decode", "-", "-o", tmp_path / "seen", "--receiver", checkpoint),
        stdin=sender.stdout, capture_output=True, text=True,
    )  # fmt: skip
    assert sender.wait() == 0
    assert told.returncode == 0, told.stderr
    assert len(_pictures(tmp_path / "seen")) == 10


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["encode", "-", "-o", "x.vcm", "--transmitter", "x"], "give -o -"),
        (["encode", "a", "b", "-o", "-", "--transmitter", "x"], "takes one input"),
        (["decode", "x.vcm", "-o", "-", "--receiver", "x"], "decode - -o -"),
        (["decode", "-", "x.vcm", "-o", "y", "--receiver", "x"], "alone"),
        (["encode", "-", "-o", "-", "--size", "12", "--transmitter", "x"], "--size"),
    ],
)
def test_what_does_not_go_together(words, told):
    done = subprocess.run(_command(*words), capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
