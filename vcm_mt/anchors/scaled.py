"""An anchor on pictures that are scaled down before coding and back after it.

MPEG's conditions of coding for machines have anchors at 100, 75, 50 and 25 %: a network that scales
its input down itself loses little by it, and the codec saves most of its bits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from vcm_mt.anchors.base import Anchor, Picture, check_picture
from vcm_mt.errors import MeasurementError


class ScaledAnchor(Anchor):
    """A codec of scaled pictures, whose rate is counted per pixel of the original.

    Both ways are Lanczos filters of Pillow. The size is rounded, and 1 pixel or more. Nothing is
    added to the stream for the true size, which the decoder's caller knows, as for every anchor.

    Args:
        anchor: The codec.
        scale: Factor of height and width, above 0 and below 1.

    Raises:
        MeasurementError: For another scale.
    """

    def __init__(self, anchor: Anchor, scale: float) -> None:
        if not 0 < scale < 1:
            raise MeasurementError(f"scale lies between 0 and 1, not {scale:g}")
        record = anchor.record
        options = (*record.options, f"pictures scaled by {scale:g} and back (Lanczos)")
        self.record = replace(record, name=f"{record.name} at {scale:.0%}", options=options)
        self.qualities, self.quality_range = anchor.qualities, anchor.quality_range
        self._anchor, self._scale = anchor, scale

    def encode(self, picture: Picture, qp: int) -> bytes:
        """Scale a picture down, and encode that."""
        check_picture(picture)
        return self._anchor.encode(_resized(picture, *self._size(*picture.shape[:2])), qp)

    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode, and scale to ``height`` and ``width``."""
        return _resized(self._anchor.decode(data, *self._size(height, width)), height, width)

    def header_bytes(self, data: bytes) -> int:
        """Count as the anchor does."""
        return self._anchor.header_bytes(data)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        return max(1, round(self._scale * height)), max(1, round(self._scale * width))


def _resized(picture: Picture, height: int, width: int) -> Picture:
    scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(scaled)
