"""HEVC all-intra, by the x265 encoder and the HEVC decoder inside imageio-ffmpeg's binary."""

from __future__ import annotations

from vcm_mt.anchors.ffmpeg import FFmpegAnchor
from vcm_mt.anchors.headers import HEVC_CONTENT, header_bytes, hevc_units
from vcm_mt.errors import MeasurementError

PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
PARAMETERS = (
    # ipratio: else an intra picture gets another QP than was asked for. info: a text of 2 kB.
    *("ipratio=1", "keyint=1", "aq-mode=0", "psy-rd=0", "psy-rdoq=0", "info=0"),
    # Wavefronts change the bytes, and x265 chooses them by the number of threads.
    *("pools=none", "frame-threads=1", "wpp=0"),
)


class HEVC(FFmpegAnchor):
    """HEVC all-intra at a fixed QP of 0 to 51, tuned for fidelity and not for the eye.

    The stream is raw Annex B, with 81 bytes of headers at 256x256. The encoder is x265, not HM: say
    so wherever its numbers stand. It refuses pictures with a side under 15 pixels. FFmpeg's decoder
    does not notice when the end of a stream is missing.

    Args:
        preset: One of `PRESETS`.

    Raises:
        MeasurementError: Unknown preset.
        AnchorError: No FFmpeg, or one without libx265.
    """

    standard = "HEVC"
    quality_range = range(52)
    qualities = (47, 42, 37, 32, 27, 22)
    library = "libx265"
    container = "hevc"
    version_pattern = r"(x265) \[info\]: HEVC encoder version (\S+)"

    def __init__(self, preset: str = "medium") -> None:
        if preset not in PRESETS:
            raise MeasurementError(f"unknown x265 preset {preset!r}; choose one of {PRESETS}")
        options = ("-preset", preset, "-threads", "1", "-x265-params", ":".join(PARAMETERS))
        super().__init__("HEVC (x265)", preset, options)

    def header_bytes(self, data: bytes) -> int:
        """All NAL units but coded slices, with their start codes."""
        return header_bytes(data, hevc_units(data), HEVC_CONTENT)
