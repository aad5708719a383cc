"""Pictures as programs have them, to what the codec takes and back."""

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

#: As many pictures are coded together, and as many pixels of large ones.
_TOGETHER, _PIXELS = 8, 1 << 22


def at_once(height: int, width: int) -> int:
    """How many pictures of a size are coded together, so that memory has a bound."""
    return max(1, min(_TOGETHER, _PIXELS // (height * width)))


def to_tensor(picture: Any) -> Tensor:
    """A picture as the codec takes it.

    Args:
        picture: A PIL picture, which is turned upright as its EXIF says; a NumPy array [H, W] or
            [H, W, 3], uint8, uint16 or float in [0, 1], RGB; or a tensor [3, H, W] or [1, H, W],
            uint8 or float in [0, 1].

    Returns:
        float32 [1, 3, H, W] in [0, 1]. Grey is repeated, 16 bits are scaled, CMYK and palettes
        are converted as PIL does.

    Raises:
        DataError: For another shape or type, values out of range, or transparency, which the
            codec cannot send.
    """
    if isinstance(picture, Image.Image):
        picture = _upright(picture)
    if isinstance(picture, np.ndarray):
        if picture.ndim == 2:
            picture = picture[..., None]
        if picture.ndim != 3:
            raise DataError(f"an array of shape {picture.shape} is no picture: it must be H, W, 3")
        own = picture.astype(picture.dtype.newbyteorder("="))
        if own.dtype == np.uint16:
            own = own.astype(np.float32) / 65535
        try:
            picture = torch.from_numpy(own).permute(2, 0, 1)
        except TypeError as error:
            raise DataError(f"an array of {picture.dtype} is no picture") from error
    if not isinstance(picture, Tensor) or picture.dim() != 3:
        shape = f" of shape {tuple(picture.shape)}" if isinstance(picture, Tensor) else ""
        raise DataError(f"a {type(picture).__name__}{shape} is no picture: give [3, H, W]")
    if picture.shape[0] == 1:
        picture = picture.expand(3, -1, -1)
    if picture.shape[0] != 3 or 0 in picture.shape:
        raise DataError(f"a picture has 1 or 3 channels and pixels, not {tuple(picture.shape)}")
    if picture.dtype == torch.uint8:
        return picture[None].float() / 255
    if not picture.is_floating_point():
        raise DataError(f"a picture of {picture.dtype} is none: use uint8, or float in [0, 1]")
    return in_range(picture[None].float())


def in_range(pictures: Tensor) -> Tensor:
    """The same float pictures.

    Raises:
        DataError: When a value is not in [0, 1].
    """
    low, high = pictures.aminmax()
    if not (low >= 0 and high <= 1):
        raise DataError(f"a float picture must lie in [0, 1], not {low:.3g} to {high:.3g}")
    return pictures


def to_array(picture: Tensor) -> NDArray[np.uint8]:
    """A decoded picture [1, 3, H, W] as uint8 [H, W, 3], RGB."""
    levels = (255 * picture[0].float().clamp(0, 1)).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def read_picture(path: Path) -> Tensor:
    """A picture file as :func:`to_tensor` makes it, turned upright as its EXIF says.

    Raises:
        DataError: When the file is missing, damaged, no picture, or one that cannot be sent.
    """
    return to_tensor(read_pixels(path).values)


def _upright(picture: Image.Image) -> NDArray[Any]:
    try:
        load(picture)
        return pixels_of(ImageOps.exif_transpose(picture))
    except DataError:
        raise
    except UNREADABLE as error:  # Pillow reads a file's pixels when they are asked for
        raise DataError(f"the picture cannot be read: {error}") from error
