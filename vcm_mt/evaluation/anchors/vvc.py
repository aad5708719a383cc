"""VVC all-intra, by the VVenC encoder and the VVC decoder inside imageio-ffmpeg's binary."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

import imageio_ffmpeg
import numpy as np

from vcm_mt.errors import AnchorError, MeasurementError
from vcm_mt.evaluation.anchors.base import Anchor, AnchorRecord, Picture, check_picture
from vcm_mt.evaluation.anchors.yuv import rgb_to_yuv420p10, yuv420p10_to_rgb

PRESETS = ("faster", "fast", "medium", "slow", "slower")
QP_RANGE = range(64)
RAW = ("-f", "rawvideo", "-pix_fmt", "yuv420p10le")
CONVERSION = "RGB to 10-bit 4:2:0 BT.709 full range, box down, Catmull-Rom up, padded to even"


class VVC(Anchor):
    """VVC all-intra at a fixed QP.

    The stream is raw Annex B: its length is the picture's rate, with parameter sets and headers
    (73 bytes). Nothing is added for the true size: a stream of a padded picture decodes to at most
    one row and one column more, which `decode` crops because its caller knows the size, as for
    every other codec that is measured.

    The encoder is VVenC, not VTM: say so wherever its numbers stand. It refuses some pictures with
    a side under 16 pixels.

    Args:
        preset: One of `PRESETS`.

    Raises:
        MeasurementError: Unknown preset.
        AnchorError: No FFmpeg, or one without libvvenc.
    """

    def __init__(self, preset: str = "medium") -> None:
        if preset not in PRESETS:
            raise MeasurementError(f"unknown VVenC preset {preset!r}; choose one of {PRESETS}")
        self._ffmpeg = _find_ffmpeg()
        # Without qpa off and IntraQPOffset 0, VVenC codes at another QP than it was asked for;
        # its thread count changes the bytes.
        self._options = (
            *("-frames:v", "1", "-c:v", "libvvenc", "-preset", preset, "-qpa", "0"),
            *("-threads", "1", "-vvenc-params", "IntraPeriod=1:GOPSize=1:IntraQPOffset=0"),
        )
        self.record = AnchorRecord(
            name="VVC (VVenC)",
            version=_version(self._ffmpeg),
            preset=preset,
            options=(*self._options, CONVERSION),
        )

    def encode(self, picture: Picture, qp: int) -> bytes:
        """Code one picture.

        Args:
            picture: uint8 [H, W, 3], RGB; odd sizes are padded by repeating the last row or column.
            qp: 0..63.

        Returns:
            The raw VVC stream, the same bytes each time.
        """
        check_picture(picture)
        if qp not in QP_RANGE:
            raise MeasurementError(f"VVC takes a QP of 0 to 63, got {qp}")
        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        size = f"{even.shape[1]}x{even.shape[0]}"
        arguments = [*RAW, "-s", size, "-r", "1", "-i", "-", *self._options, "-qp", str(qp)]
        what = f"coding a picture of {height}x{width} at QP {qp}"
        return _run(self._ffmpeg, [*arguments, "-f", "vvc", "-"], rgb_to_yuv420p10(even), what)

    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode one picture: uint8 [height, width, 3], RGB.

        Raises:
            AnchorError: The stream is damaged, or of a picture of another size.
        """
        arguments = ["-threads", "1", "-f", "vvc", "-i", "-", *RAW, "-"]
        raw = _run(self._ffmpeg, arguments, data, f"decoding a picture of {height}x{width}")
        even = (height + height % 2, width + width % 2)
        if len(raw) != 3 * even[0] * even[1]:
            raise AnchorError(
                f"the VVC stream does not hold one picture of {height}x{width} "
                f"({len(raw)} decoded bytes): give the size that was encoded"
            )
        return yuv420p10_to_rgb(raw, *even)[:height, :width]


def _find_ffmpeg() -> str:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise AnchorError(
            f"imageio-ffmpeg has no FFmpeg here ({error}): install its platform wheel, or set "
            "IMAGEIO_FFMPEG_EXE to an FFmpeg with libvvenc"
        ) from error


def _version(ffmpeg: str) -> str:
    """Versions of FFmpeg and of VVenC, which says its own only while it encodes."""
    arguments = ["-f", "lavfi", "-i", "color=black:s=64x64", "-frames:v", "1", "-c:v", "libvvenc"]
    command = [ffmpeg, "-loglevel", "verbose", "-nostdin", *arguments, "-f", "null", "-"]
    log = _call(command, b"").stderr.decode(errors="replace")
    versions = [
        re.search(pattern, log)
        for pattern in (r"(ffmpeg) version (\S+)", r"(libvvenc) version: (\S+)")
    ]
    if not all(versions):
        raise AnchorError(
            f'{ffmpeg} can not encode VVC: it lacks libvvenc. Install "imageio-ffmpeg>=0.8", or '
            f"set IMAGEIO_FFMPEG_EXE to an FFmpeg that has it. It said:\n{_last_lines(log)}"
        )
    return ", ".join(" ".join(version.groups()) for version in versions if version)


def _run(ffmpeg: str, arguments: Sequence[str], data: bytes, what: str) -> bytes:
    done = _call([ffmpeg, "-hide_banner", "-loglevel", "error", "-xerror", *arguments], data)
    if done.returncode or not done.stdout:
        stderr = _last_lines(done.stderr.decode(errors="replace"))
        raise AnchorError(f"ffmpeg failed when {what} (exit {done.returncode}); it said:\n{stderr}")
    return done.stdout


def _call(command: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=data, capture_output=True, check=False)
    except OSError as error:
        raise AnchorError(f"can not start {command[0]}: {error}") from error


def _last_lines(text: str, count: int = 5) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
