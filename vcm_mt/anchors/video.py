"""Base of video codecs applied to one picture, in 10-bit 4:2:0."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from vcm_mt.anchors.base import Anchor, Picture, check_picture, check_quality
from vcm_mt.anchors.yuv import rgb_to_yuv420p10, yuv420p10_to_rgb
from vcm_mt.errors import AnchorError

#: The part of a record's options that `VideoAnchor` decides.
CONVERSION = "RGB to 10-bit 4:2:0 BT.709 full range, box down, Catmull-Rom up, padded to even"


class VideoAnchor(Anchor):
    """A codec of 10-bit 4:2:0 video, one picture per stream.

    Nothing is added to the stream for the true size: a stream of a picture padded to even sizes
    decodes to at most one row and one column more, which `decode` crops because its caller knows
    the size, as for every other codec that is measured.

    Attributes:
        standard: Its name in messages: 'VVC'.
        parameter: What the standard calls its parameter of quality.
        quality_range: Its valid values.
    """

    standard: str
    parameter: str = "QP"
    quality_range: range

    def encode(self, picture: Picture, qp: int) -> bytes:
        """Code one picture.

        Args:
            picture: uint8 [H, W, 3], RGB; odd sizes are padded by repeating the last row or column.
            qp: One of `quality_range`.

        Returns:
            The raw stream, the same bytes each time.

        Raises:
            MeasurementError: Another kind of picture, or a QP out of range.
            AnchorError: The encoder refused the picture.
        """
        check_picture(picture)
        check_quality(self.standard, self.parameter, self.quality_range, qp)
        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        what = f"coding a picture of {height}x{width} at {self.parameter} {qp}"
        return self._encode(rgb_to_yuv420p10(even), even.shape[0], even.shape[1], qp, what)

    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode one picture: uint8 [height, width, 3], RGB.

        Raises:
            AnchorError: The stream is damaged, or of a picture of another size.
        """
        raw = self._decode(data, f"decoding a picture of {height}x{width}")
        even = (height + height % 2, width + width % 2)
        if len(raw) != 3 * even[0] * even[1]:
            raise AnchorError(
                f"the {self.standard} stream does not hold one picture of {height}x{width} "
                f"({len(raw)} decoded bytes): give the size that was encoded"
            )
        return yuv420p10_to_rgb(raw, *even)[:height, :width]

    @abstractmethod
    def _encode(self, raw: bytes, height: int, width: int, qp: int, what: str) -> bytes:
        """Stream of raw `yuv420p10le` planes of an even size; `what` is for messages."""

    @abstractmethod
    def _decode(self, data: bytes, what: str) -> bytes:
        """Raw `yuv420p10le` planes of a stream."""
