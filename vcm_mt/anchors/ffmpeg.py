"""Video codecs in imageio-ffmpeg's binary, one process per picture."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

from vcm_mt.anchors.base import AnchorRecord
from vcm_mt.anchors.process import call, last_lines, sha256
from vcm_mt.anchors.video import CONVERSION, VideoAnchor
from vcm_mt.errors import AnchorError

#: One in some 200 sequences of intra pictures, libvvenc takes all pictures and gives none back.
_TRIES = 4
RAW = ("-f", "rawvideo", "-pix_fmt", "yuv420p10le")


class FFmpegAnchor(VideoAnchor):
    """A video codec that FFmpeg encodes and decodes.

    Args:
        name: The record's name.
        preset: The record's preset.
        options: FFmpeg's options for the encoder, but the QP.

    Attributes:
        library: FFmpeg's name of the encoder.
        container: FFmpeg's name of the raw stream.
        quality_option: FFmpeg's option for the QP.
        version_pattern: Finds name and version of the library in what FFmpeg logs.

    Raises:
        AnchorError: No FFmpeg, or one without the library.
    """

    library: str
    container: str
    quality_option: str = "-qp"
    version_pattern: str

    def __init__(self, name: str, preset: str, options: Sequence[str]) -> None:
        self._ffmpeg = self._find_ffmpeg()
        self._options = ("-frames:v", "1", "-c:v", self.library, *options)
        self.record = AnchorRecord(
            name=name,
            version=self._version(),
            preset=preset,
            options=(*self._options, CONVERSION),
            binary=f"{Path(self._ffmpeg).name} SHA-256 {sha256(Path(self._ffmpeg))}",
        )

    def _encode(self, raw: bytes, height: int, width: int, qp: int, what: str) -> bytes:
        source = (*RAW, "-s", f"{width}x{height}", "-r", "1", "-i", "-")
        quality = (self.quality_option, str(qp))
        return self.run((*source, *self._options, *quality, "-f", self.container), raw, what)

    def _decode(self, data: bytes, what: str) -> bytes:
        return self.run(("-threads", "1", "-f", self.container, "-i", "-", *RAW), data, what)

    def run(self, arguments: Sequence[str], data: bytes, what: str) -> bytes:
        """Run FFmpeg on ``data``; what it writes.

        It writes a file: libvvenc prints warnings on the standard output.

        Args:
            arguments: All but the output's name.
            data: The standard input.
            what: What it does, for the message.

        Raises:
            AnchorError: It fails.
        """
        quiet = ("-hide_banner", "-loglevel", "error", "-xerror")
        for _ in range(_TRIES):
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "output"
                done = call([self._ffmpeg, *quiet, *arguments, str(target)], data)
                written = target.read_bytes() if target.exists() else b""
            if done.returncode or written:
                break
        if done.returncode or not written:
            raise AnchorError(
                f"ffmpeg failed when {what} (exit {done.returncode}); it said:\n"
                f"{last_lines(done.stderr)}"
            )
        return written

    def _find_ffmpeg(self) -> str:
        try:
            return imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError as error:
            raise AnchorError(
                f"imageio-ffmpeg has no FFmpeg here ({error}): install its platform wheel, or set "
                f"IMAGEIO_FFMPEG_EXE to an FFmpeg with {self.library}"
            ) from error

    def _version(self) -> str:
        """Versions of FFmpeg and of the library, which logs its own only while it encodes."""
        black = ("-f", "lavfi", "-i", "color=black:s=64x64", "-frames:v", "1", "-c:v", self.library)
        log = call(
            [self._ffmpeg, "-loglevel", "verbose", "-nostdin", *black, "-f", "null", "-"]
        ).stderr
        found = [
            re.search(pattern, log.decode(errors="replace"))
            for pattern in (r"(ffmpeg) version (\S+)", self.version_pattern)
        ]
        if not all(found):
            raise AnchorError(
                f"{self._ffmpeg} can not encode {self.standard}: it lacks {self.library}. Install "
                '"imageio-ffmpeg>=0.8", or set IMAGEIO_FFMPEG_EXE to an FFmpeg that has it. '
                f"It said:\n{last_lines(log)}"
            )
        return ", ".join(" ".join(version.groups()) for version in found if version)
