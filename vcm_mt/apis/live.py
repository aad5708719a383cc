"""Live coding: pictures go out as they come in, and memory does not grow.

.. code-block:: none

    camera, file, address, raw frames --> encode_live --> bytes --> decode_live --> pictures
"""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.encoding import packets_of
from vcm_mt.apis.pictures import to_array
from vcm_mt.apis.sequences import KEY_INTERVAL, VideoDecoder
from vcm_mt.apis.videos import Video, frame_rate, open_video
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.bitstream.stream import StreamReader
from vcm_mt.errors import BitstreamError, DataError
from vcm_mt.structures import Packet


def encode_live(
    transmitter: Transmitter,
    video: Video,
    out: BinaryIO,
    quality: int | None = None,
    key_interval: int = KEY_INTERVAL,
) -> int:
    """Encode a video as a sequence; each picture is written before the next one is read.

    However it ends, what was written decodes.

    Args:
        transmitter: The transmitter.
        video: See :func:`vcm_mt.apis.videos.open_video` and :func:`raw_frames`.
        out: A binary file opened for writing, such as a pipe.
        quality: The quality, if the transmitter has several.
        key_interval: See :class:`vcm_mt.apis.sequences.VideoEncoder`.

    Returns:
        The number of pictures.
    """
    writer = SequenceWriter(out, fps=(video.fps.numerator, video.fps.denominator))
    shown = tqdm(video.pictures, total=video.length or None, unit="picture")
    count = 0
    try:
        for packets in packets_of(transmitter, shown, quality, key_interval, most=1):
            for packet in packets:
                writer.write(packet)
                count += 1
            out.flush()
    finally:
        if count:
            writer.close()
            out.flush()
    return count


def decode_live(receiver: Receiver, file: BinaryIO, out: Path | BinaryIO) -> int:
    """Decode a sequence as it arrives, from its first undamaged header on.

    Args:
        receiver: The receiver.
        file: A binary file opened for reading, such as a pipe.
        out: A folder of PNG files, or a binary file for raw pictures, 8-bit RGB.

    Returns:
        The number of pictures.

    Raises:
        BitstreamError: If there is no sequence; after the end, if pictures were lost.
    """
    reader = StreamReader(file)
    decode = _decoder(receiver)
    if isinstance(out, Path):
        out.mkdir(parents=True, exist_ok=True)
    count = lost = 0
    for number, picture in tqdm(enumerate(map(decode, reader)), unit="picture"):
        if picture is None:
            lost += 1
            continue
        count += 1
        if isinstance(out, Path):
            Image.fromarray(picture).save(out / f"{number:06}.png", compress_level=1)
        else:
            out.write(picture.tobytes())
            out.flush()
    if not reader.whole:
        warnings.warn(f"the stream was cut off after {count} pictures", stacklevel=2)
    if lost:
        raise BitstreamError(f"pictures were lost in {lost} places; the others, {count}, decoded")
    return count


def _decoder(receiver: Receiver) -> Callable[[Packet | None], NDArray[np.uint8] | None]:
    """What decodes a reader's packets, and passes on what was lost."""
    video: VideoDecoder | None = None

    def decode(packet: Packet | None) -> NDArray[np.uint8] | None:
        nonlocal video
        if packet is None:
            if video is not None:
                video.lose()
            return None
        if not packet.prior:
            return to_array(receiver.decode_packets([packet]))
        video = video or VideoDecoder(receiver)
        return video.decode(packet)

    return decode


def raw_frames(file: BinaryIO, width: int, height: int, fps: float) -> Video:
    """Raw 4:2:0 frames of 8 bits, planes Y, U, V, converted by FFmpeg (BT.601, limited range).

    Args:
        file: An open file with a descriptor, such as standard input.
        width: In pixels.
        height: In pixels.
        fps: Pictures per second.

    Raises:
        DataError: While iterating, if FFmpeg fails or there is no whole frame. What follows the
            last whole one is left out.
    """
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-probesize", "32",
        "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}",
        "-framerate", str(fps), "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-flush_packets", "1", "pipe:1",
    ]  # fmt: skip
    size = 3 * width * height

    def pictures() -> Iterator[NDArray[np.uint8]]:
        count = 0
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            while len(data := process.stdout.read(size)) == size:
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
                count += 1
        if not count:
            raise DataError(
                f"no whole frame came: are they raw, 4:2:0 of 8 bits, {width}x{height}?"
            )
        if process.returncode:
            raise DataError(f"FFmpeg failed after {count} raw frames: see what it said")

    return Video(Path("-"), frame_rate(fps), 0, pictures())


def open_source(name: str, size: tuple[int, int] | None, fps: float, file: BinaryIO) -> Video:
    """What a command reads: a file, a device, an address, or with ``-`` raw frames.

    Args:
        name: A path, ``/dev/video0``, an address such as ``rtsp://host/path``, or ``-``.
        size: Width and height of raw frames.
        fps: Pictures per second of raw frames.
        file: Where raw frames come from.

    Raises:
        DataError: If it cannot be read, or raw frames have no size.
    """
    if name == "-":
        if size is None:
            raise DataError("raw frames need their size: --size 1280x720")
        return raw_frames(file, *size, fps)
    return open_video(name if "://" in name else Path(name))
