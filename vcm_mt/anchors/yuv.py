"""RGB to and from 10-bit 4:2:0 YCbCr, BT.709, full range, chroma centred between four pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import MeasurementError

# NumPy and not swscale: with box averaging down and Catmull-Rom up, both centred, the conversion
# alone costs less (41.2 dB against swscale's accurate bicubic 41.1 on scikit-image's astronaut,
# 47.9 against 47.2 on chelsea), and its bytes do not hang on the FFmpeg build.

KR, KB = 0.2126, 0.0722  # ITU-R BT.709-6, item 3.2
KG = 1 - KR - KB
PEAK, CHROMA_ZERO = 1023, 512

#: Catmull-Rom weights a quarter of a chroma sample to the left of a sample, nearest four samples.
CATMULL_ROM = (-0.0234375, 0.2265625, 0.8671875, -0.0703125)

Plane = NDArray[np.float64]


def rgb_to_yuv420p10(picture: NDArray[np.uint8]) -> bytes:
    """Raw `yuv420p10le` planes of an RGB picture.

    Args:
        picture: uint8 [H, W, 3], H and W even.

    Returns:
        3 * H * W bytes: Y [H, W], Cb and Cr [H/2, W/2] as little-endian uint16, each 0..1023.
    """
    if picture.shape[0] % 2 or picture.shape[1] % 2:
        raise MeasurementError(f"4:2:0 needs even sizes, got {picture.shape[:2]}; pad it first")
    r, g, b = np.moveaxis(picture / 255, -1, 0)
    y = KR * r + KG * g + KB * b
    cb = _halve((b - y) / (2 * (1 - KB)))
    cr = _halve((r - y) / (2 * (1 - KR)))
    planes = (_quantise(y, 0), _quantise(cb, CHROMA_ZERO), _quantise(cr, CHROMA_ZERO))
    return b"".join(plane.tobytes() for plane in planes)


def yuv420p10_to_rgb(raw: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The inverse of `rgb_to_yuv420p10`: uint8 [height, width, 3], rounded to nearest.

    Raises:
        MeasurementError: `raw` is not one picture of this (even) size.
    """
    if height % 2 or width % 2 or len(raw) != 3 * height * width:
        raise MeasurementError(
            f"{len(raw)} bytes are not one 10-bit 4:2:0 picture of {height}x{width} (even sizes)"
        )
    samples = np.frombuffer(raw, dtype="<u2").astype(np.float64)
    luma, chroma = height * width, height * width // 4
    half = (height // 2, width // 2)
    y = samples[:luma].reshape(height, width) / PEAK
    cb = _double((samples[luma : luma + chroma].reshape(half) - CHROMA_ZERO) / PEAK)
    cr = _double((samples[luma + chroma :].reshape(half) - CHROMA_ZERO) / PEAK)
    r = y + 2 * (1 - KR) * cr
    b = y + 2 * (1 - KB) * cb
    g = (y - KR * r - KB * b) / KG
    rgb = np.stack([r, g, b], axis=-1)
    return np.clip(np.floor(rgb * 255 + 0.5), 0, 255).astype(np.uint8)


def _quantise(plane: Plane, zero: int) -> NDArray[np.uint16]:
    return np.clip(np.floor(plane * PEAK + zero + 0.5), 0, PEAK).astype("<u2")


def _halve(plane: Plane) -> Plane:
    """Mean of each 2x2 block: [H, W] to [H/2, W/2]."""
    return (plane[0::2, 0::2] + plane[1::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 1::2]) / 4


def _double(plane: Plane) -> Plane:
    """Catmull-Rom interpolation: [H/2, W/2] to [H, W]."""
    return _double_rows(_double_rows(plane).T).T


def _double_rows(plane: Plane) -> Plane:
    count = len(plane)
    padded = np.pad(plane, ((2, 2), (0, 0)), mode="edge")
    doubled = np.empty((2 * count, plane.shape[1]))
    doubled[0::2] = sum(w * padded[i : i + count] for i, w in enumerate(CATMULL_ROM))
    doubled[1::2] = sum(w * padded[i + 1 : i + 1 + count] for i, w in enumerate(CATMULL_ROM[::-1]))
    return doubled
