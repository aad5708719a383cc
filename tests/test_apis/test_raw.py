"""Raw 4:2:0 sequences: formats by name and option, conversion both ways."""

import subprocess
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest

from tests.mpeg_samples import picture, write_yuv
from vcm_mt.anchors.yuv import Colours, rgb_to_yuv420, yuv420_to_rgb
from vcm_mt.apis.live import raw_frames
from vcm_mt.apis.raw import RawOptions, count_raw, format_of, read_raw, through_yuv
from vcm_mt.apis.videos import open_video
from vcm_mt.errors import DataError, MeasurementError

ALL = [Colours(b, m, f) for b in (8, 10) for m in ("bt601", "bt709") for f in (False, True)]


@pytest.mark.parametrize(
    ("name", "size", "fps", "bits", "matrix", "full"),
    [
        ("BQMall_832x480_60.yuv", (832, 480), 60, 8, "bt601", False),
        ("BasketballDrive_1920x1080_50Hz_8bit_P420.yuv", (1920, 1080), 50, 8, "bt601", False),
        ("PeopleOnStreet_2560x1600_30_crop.yuv", (2560, 1600), 30, 8, "bt601", False),
        ("Kimono1_1920x1080_24fps_10bit_420_full.yuv", (1920, 1080), 24, 10, "bt601", True),
        ("a_64x48_59.94fps_10bit_bt709_p420.yuv", (64, 48), 59.94, 10, "bt709", False),
        ("b_64x48_25fps_yuv420p10le.yuv", (64, 48), 25, 10, "bt601", False),
        ("c-64x48.yuv", (64, 48), 25, 8, "bt601", False),
    ],
)
def test_a_name_says_the_format(name, size, fps, bits, matrix, full):
    found = format_of(f"some/8x8_folder/{name}")
    assert found[:2] == size and found.fps == fps
    assert found.colours == Colours(bits, matrix, full)


def test_options_take_precedence():
    given = RawOptions((32, 16), 12.5, 10, "bt709", True)
    assert format_of("BQMall_832x480_60.yuv", given) == (32, 16, 12.5, Colours(10, "bt709", True))
    assert format_of("", RawOptions((32, 16))).fps == 25


@pytest.mark.parametrize(
    ("name", "given", "what"),
    [
        ("film.yuv", RawOptions(), "film.yuv: give the size of raw frames"),
        ("a_65x48.yuv", RawOptions(), "of even sizes"),
        ("a_64x48_7bit.yuv", RawOptions(), "7 bits"),
        ("a_64x48.yuv", RawOptions(matrix="bt2020"), "bt601 or bt709 is read"),
    ],
)
def test_what_is_refused(name, given, what):
    with pytest.raises(DataError, match=what):
        format_of(name, given)


@pytest.mark.parametrize("colours", ALL, ids=str)
def test_flat_colours_come_back_and_primaries_are_where_the_standard_has_them(colours):
    for colour in [(255, 255, 255), (0, 0, 0), (255, 0, 0), (17, 203, 91)]:
        flat = np.full((4, 6, 3), colour, np.uint8)
        back = yuv420_to_rgb(rgb_to_yuv420(flat, colours), 4, 6, colours)
        assert np.abs(back.astype(int) - flat).max() <= (1 if colours.bits == 8 else 0) + (
            1 if colours.bits == 8 and not colours.full else 0
        )
    red = np.frombuffer(
        rgb_to_yuv420(np.full((2, 2, 3), (255, 0, 0), np.uint8), colours), colours.kind
    )
    kr = {"bt601": 0.299, "bt709": 0.2126}[colours.matrix]
    steps = 2 ** (colours.bits - 8)
    luma = 2**colours.bits - 1 if colours.full else 219 * steps
    assert red[0] == np.floor((0 if colours.full else 16 * steps) + kr * luma + 0.5)
    assert red[5] == min(
        np.floor(128 * steps + (luma if colours.full else 224 * steps) / 2 + 0.5),
        2**colours.bits - 1,
    )


@pytest.mark.parametrize("colours", ALL, ids=str)
def test_files_are_converted_as_ffmpeg_does(colours, tmp_path):
    path = tmp_path / f"a_64x48_30fps_{colours.bits}bit_{colours.matrix}.yuv"
    write_yuv(path, [picture(n, 64, 48) for n in range(3)], colours)
    options = RawOptions(full=colours.full)
    video = open_video(path, options)
    found = list(video.pictures)
    assert (video.fps, video.length) == (Fraction(30), 3)
    with path.open("rb") as file:
        live = list(raw_frames(file, format_of(path.name, options)).pictures)
    assert len(found) == len(live) == 3
    for own, other, drawn in zip(found, live, map(picture, range(3), [64] * 3, [48] * 3),
                                 strict=True):  # fmt: skip
        assert np.abs(own.astype(int) - other).mean() < 2.5  # other chroma filters
        assert np.abs(own.astype(int) - drawn).mean() < 3
        assert np.abs(own.mean((0, 1)) - other.mean((0, 1))).max() < 1.0  # the same colours


def test_ffmpeg_wrote_it(tmp_path):
    """A sequence that FFmpeg converted, read by us."""
    drawn = picture(1, 64, 48)
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", "64x48", "-i", "-", "-vf", "scale=out_color_matrix=bt709:out_range=limited:"
        "flags=accurate_rnd+full_chroma_int+full_chroma_inp", "-pix_fmt", "yuv420p10le",
        "-f", "rawvideo", str(tmp_path / "a_64x48_10bit_bt709.yuv"),
    ]  # fmt: skip
    subprocess.run(command, input=drawn.tobytes(), check=True)
    (found,) = open_video(tmp_path / "a_64x48_10bit_bt709.yuv").pictures
    assert np.abs(found.astype(int) - drawn).mean() < 2.5
    assert np.abs(found.mean((0, 1)) - drawn.mean((0, 1))).max() < 0.7


def test_parts_of_a_file(tmp_path):
    path = tmp_path / "a_64x48_8bit.yuv"
    write_yuv(path, [picture(n, 64, 48) for n in range(4)], Colours(8, "bt601", False))
    told = format_of(path.name)
    whole = list(read_raw(path, told))
    assert np.array_equal(list(read_raw(path, told, 1, 2)), whole[1:3])
    with pytest.raises(DataError, match=r"has 4 frames, and frame 5 is wanted"):
        list(read_raw(path, told, 3, 3))
    with pytest.raises(DataError, match="no whole frames of 62x48"):
        count_raw(path, format_of("", RawOptions((62, 48))))
    with pytest.raises(DataError, match="cannot be read"):
        count_raw(tmp_path / "none.yuv", told)
    with pytest.raises(MeasurementError, match="not one 10-bit"):
        yuv420_to_rgb(b"\0" * 10, 2, 2, Colours())


def test_a_picture_through_yuv_keeps_its_odd_size():
    drawn = picture(3, 65, 47)
    back = through_yuv(drawn, Colours(10, "bt709", False))
    assert back.shape == drawn.shape
    assert 0 < np.abs(back.astype(int) - drawn).mean() < 2
