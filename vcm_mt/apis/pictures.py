"""Conversion between pictures of PIL, NumPy and PyTorch and the codec's tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from vcm_mt.errors import DataError
from vcm_mt.files import UNREADABLE
from vcm_mt.pictures import load, pixels_of, read_pixels

#: The largest number of pictures, and of pixels, that are coded together.
_TOGETHER, _PIXELS = 8, 1 << 22


def at_once(height: int, width: int) -> int:
    """How many pictures of this size to code together, so that memory is bounded."""
    return max(1, min(_TOGETHER, _PIXELS // (height * width)))


def to_tensor(picture: Any) -> Tensor:
    """Convert a picture to the codec's input.

    Args:
        picture: A PIL image, which is turned upright by its EXIF; a NumPy array [H, W] or
            [H, W, 3], uint8, uint16 or float in [0, 1], RGB; or a tensor [3, H, W] or [1, H, W],
            uint8 or float in [0, 1].

    Returns:
        float32 [1, 3, H, W] in [0, 1]. Grey is repeated, 16 bits are scaled, CMYK and palettes
        are converted as by PIL.

    Raises:
        DataError: If shape or dtype differ, values are out of range, or the picture has
            transparency, which the codec cannot send.
    """
    if isinstance(picture, Image.Image):
        picture = _upright(picture)
    if isinstance(picture, np.ndarray):
        if picture.ndim == 2:
            picture = picture[..., None]
        if picture.ndim != 3:
            raise DataError(f"an array of a picture must be [H, W, 3], not {list(picture.shape)}")
        own = picture.astype(picture.dtype.newbyteorder("="))
        if own.dtype == np.uint16:
            own = own.astype(np.float32) / 65535
        try:
            picture = torch.from_numpy(own).permute(2, 0, 1)
        except TypeError as error:
            raise DataError(
                f"an array of a picture must be uint8, uint16 or float, not {picture.dtype}"
            ) from error
    if not isinstance(picture, Tensor) or picture.dim() != 3:
        shape = f" of shape {tuple(picture.shape)}" if isinstance(picture, Tensor) else ""
        raise DataError(
            f"a picture must be a PIL image, an array [H, W, 3] or a tensor [3, H, W], not a "
            f"{type(picture).__name__}{shape}"
        )
    if picture.shape[0] == 1:
        picture = picture.expand(3, -1, -1)
    if picture.shape[0] != 3 or 0 in picture.shape:
        raise DataError(
            f"a picture must have 1 or 3 channels and at least a pixel, not {tuple(picture.shape)}"
        )
    if picture.dtype == torch.uint8:
        return picture[None].float() / 255
    if not picture.is_floating_point():
        raise DataError(f"a picture must be uint8, or float in [0, 1], not {picture.dtype}")
    return in_range(picture[None].float())


def in_range(pictures: Tensor) -> Tensor:
    """Check that the values of float pictures lie in [0, 1], and return them.

    Raises:
        DataError: If a value is out of range or not a number.
    """
    low, high = pictures.aminmax()
    if not (low >= 0 and high <= 1):
        raise DataError(f"a float picture must lie in [0, 1], not {low:.3g} to {high:.3g}")
    return pictures


def to_array(picture: Tensor) -> NDArray[np.uint8]:
    """Round a decoded picture [1, 3, H, W] in [0, 1] to uint8 [H, W, 3], RGB."""
    levels = (255 * picture[0].float().clamp(0, 1)).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def read_picture(path: Path) -> Tensor:
    """Read a picture file as float32 [1, 3, H, W] in [0, 1], turned upright by its EXIF.

    Raises:
        DataError: If the file is missing, damaged, not a picture, or one that cannot be sent.
    """
    return to_tensor(read_pixels(path).values)


def _upright(picture: Image.Image) -> NDArray[Any]:
    try:
        load(picture)
        return pixels_of(ImageOps.exif_transpose(picture))
    except DataError:
        raise
    except UNREADABLE as error:  # Pillow reads the pixels of a file lazily
        raise DataError(f"the picture cannot be read: {error}") from error
