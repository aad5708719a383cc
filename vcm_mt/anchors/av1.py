"""AV1 still pictures, by the libaom encoder and the AV1 decoder in imageio-ffmpeg's binary."""

from __future__ import annotations

from vcm_mt.anchors.ffmpeg import FFmpegAnchor
from vcm_mt.anchors.headers import AV1_CONTENT, av1_units, header_bytes

#: libaom's speed: 2 saves about 3 % of the bytes for twice the time.
CPU_USED = "4"


class AV1(FFmpegAnchor):
    """AV1 still pictures at a constant quality, a CRF of 0 to 63.

    The stream is raw open bitstream units.

    Raises:
        AnchorError: No FFmpeg, or one without libaom.
    """

    standard = "AV1"
    parameter = "CRF"
    quality_range = range(64)
    #: About the rates of VVC at QP 47 to 22.
    qualities = (59, 51, 43, 35, 27, 19)
    library = "libaom-av1"
    container = "obu"
    quality_option = "-crf"
    version_pattern = r"\[(libaom-av1) @ \w+\] (v\d\S*)"

    def __init__(self) -> None:
        still = ("-still-picture", "1", "-b:v", "0", "-threads", "1")
        super().__init__("AV1 (libaom)", f"cpu-used {CPU_USED}", ("-cpu-used", CPU_USED, *still))

    def header_bytes(self, data: bytes) -> int:
        """All open bitstream units but frames, frame headers and tile groups."""
        return header_bytes(data, av1_units(data), AV1_CONTENT)
