"""Videos as FFmpeg reads them: whatever they are called and hold, whole or not."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from vcm_mt.apis.videos import breaks_off, frame_rate, open_video
from vcm_mt.errors import DataError

_X264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264"]


def shoot(path, seconds=1.0, sound=0.0, options=("-c:v", "ffv1"), picture="testsrc"):
    """A film of 96x80 at 25 pictures a second, perhaps with sound."""
    inputs = [f"{picture}=size=96x80:rate=25:duration={seconds}"] if seconds else []
    inputs += [f"sine=duration={sound}"] if sound else []
    given = [word for one in inputs for word in ("-f", "lavfi", "-i", one)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *given, *options, f"file:{path}"]
    subprocess.run(command, check=True)
    return path


def _read(path):
    video = open_video(path)
    count = sum(1 for _ in video.pictures)
    return video, count, breaks_off(video, count)


@pytest.mark.parametrize("ending", ["ts", "mpg", "wmv", "flv", "3gp", "mts"])
def test_endings_of_cameras(tmp_path, ending):
    options = _X264 if ending in ("ts", "3gp", "mts") else []
    path = shoot(tmp_path / f"film.{ending}", 0.4, options=options)
    video, count, cut = _read(path)
    assert (count, video.fps, cut) == (10, 25, False)


@pytest.mark.parametrize("name", ["cam12:30.mkv", "-v.mkv", "a%03d b.mkv", "Duration: 1.mkv"])
def test_any_name(tmp_path, monkeypatch, name):
    shoot(tmp_path / name, 0.2)
    monkeypatch.chdir(tmp_path)
    video = open_video(Path(name))
    pictures = list(video.pictures)
    assert len(pictures) == 5
    assert pictures[0].shape == (80, 96, 3)
    assert pictures[0].dtype == np.uint8


@pytest.mark.parametrize(("seconds", "sound"), [(1, 6), (2, 1)])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_sound_of_another_length_is_no_break(tmp_path, ending, seconds, sound):
    options = [] if ending == "avi" else _X264
    path = shoot(tmp_path / f"film.{ending}", seconds, sound, options)
    video, count, cut = _read(path)
    assert count in (25 * seconds, 25 * seconds + 1)
    assert not cut
    assert video.length >= count - 1


def test_pictures_at_a_varying_rate_are_no_break(tmp_path):
    some = ["-vf", "select='not(mod(n,5))+lt(n,20)'", "-fps_mode", "vfr"]
    for ending in ("mp4", "mkv"):
        _, count, cut = _read(shoot(tmp_path / f"film.{ending}", 3, options=[*some, *_X264]))
        assert count > 20
        assert not cut


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_film_that_was_cut_breaks_off(tmp_path, ending):
    options = [*_X264, *(["-movflags", "+faststart"] if ending == "mp4" else [])]
    path = shoot(tmp_path / f"film.{ending}", 6, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    video, count, cut = _read(path)
    assert video.length == 150
    assert 10 < count < 148
    assert cut


def test_pictures_that_did_not_come_are_missed(tmp_path):
    """The file is whole, but FFmpeg ended before its end, as when it was killed."""
    video = open_video(shoot(tmp_path / "film.mkv", 2))
    assert breaks_off(video, 30)
    assert not breaks_off(video, 50)


def test_sound_alone_is_told(tmp_path):
    path = shoot(tmp_path / "voice.mp4", seconds=0, sound=1, options=[])
    with pytest.raises(DataError, match="voice.mp4 has no pictures, only sound$"):
        open_video(path)


@pytest.mark.parametrize("content", [b"", b"no film", b"\0" * 5000])
def test_what_is_no_video_is_told_in_a_line(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match="a.mp4 is not a readable video: Invalid data") as caught:
        open_video(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "rate"), [(25.0, "25"), (29.97, "30000/1001"), (23.98, "24000/1001"), (0, "0")]
)
def test_rates_are_fractions(told, rate):
    assert str(frame_rate(told)) == rate
