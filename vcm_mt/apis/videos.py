"""Videos as FFmpeg reads them: pictures of one size, and how many a second."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import DataError

#: Endings that videos are taken by.
ENDINGS = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264",
    ".h265", ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov",
    ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb",
    ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
})  # fmt: skip
#: A video may end so much before its container says that it does.
_SHORTER = 0.98


class Video(NamedTuple):
    """A video that was opened.

    Attributes:
        path: Its file.
        fps: Pictures a second; 0 where it is not known.
        length: How many pictures there should be by what its container says; 0 where that does
            not say.
        pictures: uint8 [H, W, 3] each, RGB, all of one size.
    """

    path: Path
    fps: Fraction
    length: int
    pictures: Iterator[NDArray[np.uint8]]


def open_video(path: Path) -> Video:
    """Open a video.

    Raises:
        DataError: When it cannot be read, or holds no pictures; also while it is read.
    """
    # Of a relative name with a colon, FFmpeg takes what stands before it for a protocol.
    frames = imageio_ffmpeg.read_frames(str(path.absolute()), pix_fmt="rgb24")
    try:
        meta = next(frames)
    except (OSError, RuntimeError, StopIteration, IndexError, AttributeError) as error:
        raise DataError(_why(path, str(error))) from error
    width, height = meta["size"]

    def pictures() -> Iterator[NDArray[np.uint8]]:
        try:
            for frame in frames:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
        except RuntimeError as error:
            raise DataError(_why(path, str(error))) from error

    length = round(meta["fps"] * meta["duration"])
    return Video(path, frame_rate(meta["fps"]), length, pictures())


def breaks_off(video: Video, count: int) -> bool:
    """Whether a video that gave ``count`` pictures has more, or is a file that was cut.

    Its container's time alone does not tell: sound may be longer than the pictures, and pictures
    may come at a rate that varies.
    """
    if count >= _SHORTER * video.length - 1:
        return False
    packets, seconds = _stored(video.path)
    whole = seconds >= _SHORTER * video.length / video.fps - 1 / video.fps
    return not whole or count < _SHORTER * packets - 1


def frame_rate(told: float) -> Fraction:
    """Pictures per second as a fraction; television's, such as 29.97, are n * 1000/1001."""
    television = Fraction(round(told) * 1000, 1001)
    near = abs(told - television) < 0.006 and told != round(told)
    return television if near else Fraction(told).limit_denominator(1001)


def _why(path: Path, said: str) -> str:
    """What to say of a video that FFmpeg cannot read, in a line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    streams = [line for line in lines if line.startswith("Stream #")]
    if streams and not any(" Video: " in line for line in streams):
        sound = ", only sound" if any(" Audio: " in line for line in streams) else ""
        return f"{path} has no pictures{sound}"
    told = [line for line in lines if not line.startswith(("Error opening input file", "==="))]
    last = told[-1] if told else "it has no pictures"  # FFmpeg's banner stands before it
    reason = re.sub(r"^\[[^]]*\] |Error opening input: ", "", last)[:200]
    return f"{path} is not a readable video: {reason}"


def _stored(path: Path) -> tuple[int, float]:
    """How many pictures a video's file holds, and to which second it goes, sound included."""
    listing = subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "quiet", "-i", str(path.absolute()),
            "-map", "0:v:0", "-map", "0:a?", "-c", "copy", "-f", "framecrc", "-",
        ],
        capture_output=True, text=True, errors="replace",
    ).stdout  # fmt: skip
    ticks = {stream: Fraction(tick) for stream, tick in re.findall(r"#tb (\d+): (\S+)", listing)}
    packets: defaultdict[str, int] = defaultdict(int)
    end = Fraction(0)
    for line in listing.splitlines():
        if line.startswith("#"):
            continue
        stream, _, shown, lasts = (part.strip() for part in line.split(",")[:4])
        packets[stream] += 1
        end = max(end, (int(shown) + int(lasts)) * ticks[stream])
    return packets["0"], float(end)
