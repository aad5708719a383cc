"""VVC all-intra, by the VVenC encoder and the VVC decoder inside imageio-ffmpeg's binary."""

from __future__ import annotations

from vcm_mt.anchors.ffmpeg import FFmpegAnchor
from vcm_mt.anchors.headers import VVC_CONTENT, header_bytes, vvc_units
from vcm_mt.errors import MeasurementError

PRESETS = ("faster", "fast", "medium", "slow", "slower")


class VVC(FFmpegAnchor):
    """VVC all-intra at a fixed QP of 0 to 63.

    The stream is raw Annex B: its length is the picture's rate, with parameter sets and headers
    (74 bytes at 256x256). The encoder is VVenC, not VTM: say so wherever its numbers stand. It
    refuses some pictures with a side under 16 pixels.

    Args:
        preset: One of `PRESETS`.

    Raises:
        MeasurementError: Unknown preset.
        AnchorError: No FFmpeg, or one without libvvenc.
    """

    standard = "VVC"
    quality_range = range(64)
    qualities = (47, 42, 37, 32, 27, 22)
    library = "libvvenc"
    container = "vvc"
    version_pattern = r"(libvvenc) version: (\S+)"

    def __init__(self, preset: str = "medium") -> None:
        if preset not in PRESETS:
            raise MeasurementError(f"unknown VVenC preset {preset!r}; choose one of {PRESETS}")
        # Without qpa off and IntraQPOffset 0, VVenC codes at another QP than it was asked for;
        # its thread count changes the bytes.
        quality = ("-qpa", "0", "-threads", "1")
        intra = ("-vvenc-params", "IntraPeriod=1:GOPSize=1:IntraQPOffset=0")
        super().__init__("VVC (VVenC)", preset, ("-preset", preset, *quality, *intra))

    def header_bytes(self, data: bytes) -> int:
        """All NAL units but coded slices and adaptation parameter sets, with their start codes."""
        return header_bytes(data, vvc_units(data), VVC_CONTENT)
