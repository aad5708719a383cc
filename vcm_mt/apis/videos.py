"""Reading of videos with FFmpeg."""

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

from vcm_mt.apis.raw import ENDING, RawOptions, count_raw, format_of, frame_rate, read_raw
from vcm_mt.errors import DataError

#: File name endings that mark videos.
ENDINGS = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264",
    ".h265", ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov",
    ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb",
    ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m", ".yuv",
})  # fmt: skip
#: Share of the duration in its container that a complete video has at least.
_SHORTER = 0.98


class Video(NamedTuple):
    """An open video.

    Attributes:
        path: Its file.
        fps: Pictures per second; 0 if unknown.
        length: Number of pictures according to the container; 0 if unknown.
        pictures: Iterator of uint8 [H, W, 3], RGB, all of one size.
    """

    path: Path
    fps: Fraction
    length: int
    pictures: Iterator[NDArray[np.uint8]]


def open_video(source: Path | str, raw: RawOptions = RawOptions()) -> Video:  # noqa: B008
    """Open a video.

    Args:
        source: A file, a device of Linux (``/dev/video0``), or as text an address that FFmpeg
            reads, such as ``rtsp://host/path``. A ``.yuv`` file holds raw 4:2:0 frames.
        raw: What a raw file's name does not say.

    Raises:
        DataError: If it cannot be read or has no pictures, now or while iterating.
    """
    path = Path(source)
    if path.suffix.lower() == ENDING:
        told = format_of(path.name, raw)
        return Video(path, frame_rate(told.fps), count_raw(path, told), read_raw(path, told))
    # FFmpeg would read a relative name with a colon as PROTOCOL:NAME.
    name = source if isinstance(source, str) else str(path.absolute())
    device = ["-f", "v4l2"] if name.startswith("/dev/video") else []
    frames = imageio_ffmpeg.read_frames(name, pix_fmt="rgb24", input_params=device)
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

    length = round(meta["fps"] * meta["duration"]) if meta["duration"] < float("inf") else 0
    return Video(path, frame_rate(meta["fps"]), length, pictures())


def breaks_off(video: Video, count: int) -> bool:
    """Whether a video from which ``count`` pictures were decoded is incomplete.

    The duration in the container is not enough to know: sound may be longer than the pictures,
    and the frame rate may vary.
    """
    if count >= _SHORTER * video.length - 1:
        return False
    packets, seconds = _stored(video.path)
    whole = seconds >= _SHORTER * video.length / video.fps - 1 / video.fps
    return not whole or count < _SHORTER * packets - 1


def _why(path: Path, said: str) -> str:
    """FFmpeg's reason for not reading a video, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    streams = [line for line in lines if line.startswith("Stream #")]
    if streams and not any(" Video: " in line for line in streams):
        sound = ", only sound" if any(" Audio: " in line for line in streams) else ""
        return f"{path} has no pictures{sound}"
    reasons = [line for line in lines if not line.startswith(("Error opening input file", "==="))]
    last = reasons[-1] if reasons else "it has no pictures"  # the last line, after the banner
    reason = re.sub(r"^\[[^]]*\] |Error opening input: ", "", last)[:200]
    return f"{path} is not a readable video: {reason}"


def _stored(path: Path) -> tuple[int, float]:
    """The number of pictures in a video's file, and the second at which it ends with its sound."""
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
