"""Raw 4:2:0 sequences: size, rate and colours from the file's name or from options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcm_mt.anchors.yuv import MATRICES, Colours, rgb_to_yuv420, yuv420_to_rgb
from vcm_mt.errors import DataError

#: The file name ending of raw sequences.
ENDING = ".yuv"
#: Pictures per second where neither name nor option says it.
FPS = 25.0

_SIZE = re.compile(r"(?<!\d)(\d{2,5})x(\d{2,5})(?!\d)")
_RATE = re.compile(r"(?<!\d)(\d{1,3}(?:\.\d+)?)(?:p?_?fps|hz)(?![a-z])", re.IGNORECASE)
_BARE_RATE = re.compile(r"\d{2,5}x\d{2,5}_(\d{1,3}(?:\.\d+)?)(?=[_.]|$)")
_BITS = re.compile(r"(?<!\d)(\d{1,2})(?:bits?|le)(?![a-z])|420_?p?(10|12|16)", re.IGNORECASE)


class RawOptions(NamedTuple):
    """What a user says of raw frames; ``None`` for what the file's name says, or the default.

    Attributes:
        size: Width and height in pixels.
        fps: Pictures per second.
        bits: Of a sample, 8 to 16.
        matrix: A key of :data:`vcm_mt.anchors.yuv.MATRICES`.
        full: Whether luma has its full range.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    bits: int | None = None
    matrix: str | None = None
    full: bool | None = None


class RawFormat(NamedTuple):
    """What raw frames are.

    Attributes:
        width: In pixels, even.
        height: In pixels, even.
        fps: Pictures per second.
        colours: What samples mean.
    """

    width: int
    height: int
    fps: float
    colours: Colours

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return int(self.colours.frame_bytes * self.width * self.height)


def format_of(name: str, given: RawOptions = RawOptions()) -> RawFormat:  # noqa: B008
    """The format of raw frames.

    A name says it as ``BQMall_832x480_60.yuv`` or ``Kimono_1920x1080_24fps_10bit_420_full.yuv``
    do. By default there are 25 pictures per second of 8 bits, BT.601, limited range.

    Args:
        name: A file's name, or "".
        given: Takes precedence.

    Raises:
        DataError: When neither says the size, or it is odd, or bits or matrix are unknown.
    """
    plain = Path(name).name
    size = given.size or _told_size(plain)
    if size is None:
        raise DataError(f"{name or 'raw frames'}: give the size of raw frames: --size 1280x720")
    rate = _RATE.search(plain) or _BARE_RATE.search(plain)
    bits = _BITS.search(plain)
    told = plain.lower()
    colours = Colours(
        given.bits or (int(bits[1] or bits[2]) if bits else 8),
        given.matrix or next((one for one in MATRICES if one in told), "bt601"),
        "full" in told if given.full is None else given.full,
    )
    if (
        colours.bits not in range(8, 17)
        or colours.matrix not in MATRICES
        or any(side % 2 for side in size)
    ):
        raise DataError(
            f"{name or 'raw frames'}: 4:2:0 of even sizes, 8 to 16 bits, {' or '.join(MATRICES)} "
            f"is read, not {size[0]}x{size[1]}, {colours.bits} bits, {colours.matrix}"
        )
    return RawFormat(*size, given.fps or (float(rate[1]) if rate else FPS), colours)


def _told_size(name: str) -> tuple[int, int] | None:
    found = _SIZE.search(name)
    return (int(found[1]), int(found[2])) if found else None


def count_raw(path: Path, raw: RawFormat) -> int:
    """The number of frames in a file.

    Raises:
        DataError: When it can't be read, or does not hold whole frames.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not size or size % raw.frame_bytes:
        raise DataError(
            f"{path} has {size} bytes, which are no whole frames of {raw.width}x{raw.height}, "
            f"4:2:0, {raw.colours.bits} bits ({raw.frame_bytes} bytes each)"
        )
    return size // raw.frame_bytes


def read_raw(
    path: Path, raw: RawFormat, first: int = 0, count: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Frames as uint8 [H, W, 3], RGB, rounded to nearest.

    Args:
        path: The file.
        raw: Its format.
        first: Of the frames, from 0.
        count: How many; by default all from there on.

    Raises:
        DataError: See :func:`count_raw`; or when there are fewer frames.
    """
    there = count_raw(path, raw)
    last = there if count is None else first + count
    if last > there:
        raise DataError(f"{path} has {there} frames, and frame {last - 1} is wanted (from 0)")
    with path.open("rb") as file:
        file.seek(first * raw.frame_bytes)
        for _ in range(first, last):
            data = file.read(raw.frame_bytes)
            yield yuv420_to_rgb(data, raw.height, raw.width, raw.colours)


def through_yuv(picture: NDArray[np.uint8], colours: Colours) -> NDArray[np.uint8]:
    """A picture after its conversion to YCbCr and back, as a decoder's raw output is judged.

    Args:
        picture: uint8 [H, W, 3], RGB; odd sides are padded by their last row or column.
        colours: Of the raw output.
    """
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    raw = rgb_to_yuv420(even, colours)
    return yuv420_to_rgb(raw, even.shape[0], even.shape[1], colours)[:height, :width]


def frame_rate(fps: float) -> Fraction:
    """Pictures per second as a fraction; rates such as 29.97 become n * 1000/1001."""
    television = Fraction(round(fps) * 1000, 1001)
    near = abs(fps - television) < 0.006 and fps != round(fps)
    return television if near else Fraction(fps).limit_denominator(1001)
