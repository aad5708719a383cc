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
from vcm_mt.apis.raw import RawFormat, RawOptions, format_of, frame_rate
from vcm_mt.apis.sequences import KEY_INTERVAL, VideoDecoder
from vcm_mt.apis.videos import Video, open_video
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


def raw_frames(file: BinaryIO, raw: RawFormat) -> Video:
    """Raw 4:2:0 frames as they come, planes Y, U, V, converted by FFmpeg.

    Args:
        file: An open file with a descriptor, such as standard input.
        raw: Their format, of 8, 10, 12 or 16 bits.

    Raises:
        DataError: For other bits; while iterating, if FFmpeg fails or there is no whole frame. What
            follows the last whole one is left out.
    """
    width, height, colours = raw.width, raw.height, raw.colours
    if colours.bits not in (8, 10, 12, 16):
        raise DataError(f"raw frames that come live have 8, 10, 12 or 16 bits, not {colours.bits}")
    kind = "yuv420p" if colours.bits == 8 else f"yuv420p{colours.bits}le"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-probesize", "32",
        "-f", "rawvideo", "-pix_fmt", kind, "-video_size", f"{width}x{height}",
        "-framerate", str(raw.fps), "-i", "pipe:0", "-vf",
        f"scale=in_color_matrix={colours.matrix}:in_range={'full' if colours.full else 'limited'}"
        ":flags=bicubic+accurate_rnd+full_chroma_int",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-flush_packets", "1", "pipe:1",
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
                f"no whole frame came: are they raw, 4:2:0 of {colours.bits} bits, "
                f"{width}x{height}?"
            )
        if process.returncode:
            raise DataError(f"FFmpeg failed after {count} raw frames: see what it said")

    return Video(Path("-"), frame_rate(raw.fps), 0, pictures())


def open_source(name: str, raw: RawOptions, file: BinaryIO) -> Video:
    """What a command reads: a file, a device, an address, or with ``-`` raw frames.

    Args:
        name: A path, ``/dev/video0``, an address such as ``rtsp://host/path``, or ``-``.
        raw: What is said of raw frames.
        file: Where raw frames come from.

    Raises:
        DataError: If it cannot be read, or raw frames have no size.
    """
    if name == "-":
        return raw_frames(file, format_of("", raw))
    return open_video(name if "://" in name else Path(name), raw)
