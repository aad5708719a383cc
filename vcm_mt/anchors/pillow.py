"""Codecs of pictures inside Pillow: JPEG, WebP and AVIF, lossy, 4:2:0, without metadata."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from vcm_mt.anchors.base import (
    Anchor,
    AnchorRecord,
    Picture,
    check_picture,
    check_quality,
)
from vcm_mt.anchors.headers import (
    AVIF_CONTENT,
    JPEG_CONTENT,
    WEBP_CONTENT,
    avif_boxes,
    header_bytes,
    jpeg_segments,
    webp_chunks,
)
from vcm_mt.errors import AnchorError


class PillowAnchor(Anchor):
    """A file format that Pillow writes and reads, at a quality; higher is better.

    Args:
        library: The codec behind Pillow and its version.
        options: Pillow's options when saving, but the quality.

    Attributes:
        format: Pillow's name of the format.
        quality_range: Qualities that are taken.
    """

    format: str
    quality_range: range

    def __init__(self, library: str, options: dict[str, Any]) -> None:
        self._options = options
        self.record = AnchorRecord(
            name=f"{self.format} (Pillow)",
            version=f"Pillow {PIL.__version__}, {library}",
            preset="",
            options=tuple(f"{name}={value}" for name, value in options.items()),
        )

    def encode(self, picture: Picture, qp: int) -> bytes:
        """Code one picture.

        Args:
            picture: uint8 [H, W, 3], RGB.
            qp: The quality, one of `quality_range`.

        Returns:
            A file, the same bytes each time.

        Raises:
            MeasurementError: Another kind of picture, or a quality out of range.
            AnchorError: The codec refused the picture.
        """
        check_picture(picture)
        check_quality(self.format, "quality", self.quality_range, qp)
        file = io.BytesIO()
        try:
            image = Image.fromarray(np.ascontiguousarray(picture))
            image.save(file, self.format, quality=int(qp), **self._options)
        except (OSError, ValueError) as error:
            raise AnchorError(
                f"Pillow failed when coding a picture of {picture.shape[0]}x{picture.shape[1]} as "
                f"{self.format} at quality {qp}: {error}"
            ) from error
        return file.getvalue()

    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode one picture: uint8 [height, width, 3], RGB.

        Raises:
            AnchorError: The file is damaged, or of a picture of another size.
        """
        try:
            with Image.open(io.BytesIO(data), formats=[self.format]) as image:
                picture = np.array(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise AnchorError(f"Pillow failed when decoding {self.format}: {error}") from error
        if picture.shape != (height, width, 3):
            raise AnchorError(
                f"the {self.format} file does not hold one picture of {height}x{width} but "
                f"{list(picture.shape)}: give the size that was encoded"
            )
        return picture


class JPEG(PillowAnchor):
    """Baseline JPEG with optimised Huffman tables, at a quality of 1 to 100."""

    format = "JPEG"
    quality_range = range(1, 101)
    qualities = (5, 10, 20, 35, 55, 75, 90)

    def __init__(self) -> None:
        turbo = features.version("libjpeg_turbo")
        library = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
        super().__init__(library, {"optimize": True, "subsampling": "4:2:0"})

    def header_bytes(self, data: bytes) -> int:
        """All segments but the scan: tables, frame and scan headers, start and end."""
        return header_bytes(data, jpeg_segments(data), JPEG_CONTENT)


class WebP(PillowAnchor):
    """Lossy WebP, the slowest method, at a quality of 0 to 100."""

    format = "WebP"
    quality_range = range(101)
    qualities = (1, 10, 30, 50, 70, 90)

    def __init__(self) -> None:
        if not features.check("webp"):
            raise AnchorError("Pillow has no WebP here: install Pillow from its wheel")
        super().__init__(f"libwebp {features.version('webp')}", {"method": 6})

    def header_bytes(self, data: bytes) -> int:
        """All but what the chunk of the picture holds."""
        return header_bytes(data, webp_chunks(data), WEBP_CONTENT)


class AVIF(PillowAnchor):
    """AVIF by libaom, 8-bit, at a quality of 0 to 100."""

    format = "AVIF"
    quality_range = range(101)
    qualities = (5, 20, 35, 50, 65, 80)

    def __init__(self) -> None:
        if not features.check("avif"):
            raise AnchorError('Pillow has no AVIF here: install its wheel, "pillow>=11.3"')
        from PIL.AvifImagePlugin import get_codec_version  # older Pillows lack the module

        library = f"libavif {features.version('avif')}, aom {get_codec_version('aom')}"
        # Tiles cost bytes; what they depend on must not be the machine.
        one = {"codec": "aom", "max_threads": 1, "autotiling": False}
        super().__init__(library, {"subsampling": "4:2:0", "speed": 4, **one})

    def header_bytes(self, data: bytes) -> int:
        """All but what the boxes of media data hold."""
        return header_bytes(data, avif_boxes(data), AVIF_CONTENT)
