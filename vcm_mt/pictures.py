"""Picture files, read by one rule: what a data set trains on is what the codec's tools send."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from vcm_mt.errors import DataError
from vcm_mt.files import UNREADABLE


class Pixels(NamedTuple):
    """A picture file's pixels, upright.

    Attributes:
        values: uint8 [H, W, 3], RGB; uint16 [H, W] of a grey picture with 16 bits.
        orientation: The EXIF orientation by which they were turned, 1 to 8; 1 is none.
    """

    values: NDArray[Any]
    orientation: int


def read_pixels(path: Path) -> Pixels:
    """Read a picture file and turn it upright as its EXIF says.

    Grey is repeated; CMYK and palettes are converted as PIL does.

    Raises:
        DataError: When the file is missing, damaged, no picture, or one that cannot be sent.
    """
    try:
        with Image.open(path) as file:
            count = getattr(file, "n_frames", 1)
            if count > 1 and file.format != "MPO":  # a photograph with its preview
                warnings.warn(f"{path} holds {count} pictures: the first is taken", stacklevel=2)
            told = file.getexif().get(ExifTags.Base.Orientation)
            orientation = told if told in range(1, 9) else 1  # others mean nothing
            load(file)
            # What needs no turning is not copied.
            picture: Any = file if orientation == 1 else ImageOps.exif_transpose(file)
            if file.format == "PPM" and file.mode == "I":  # 16 bits of grey
                return Pixels(np.asarray(picture).astype(np.uint16), orientation)
            return Pixels(pixels_of(picture), orientation)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except UNREADABLE as error:
        raise DataError(f"{path} is not a readable picture: {error}") from error


def load(picture: Image.Image) -> None:
    """Read the pixels of a picture that was opened, unless they are there already.

    Pillow maps an uncompressed file that it was given by name into memory, and then mixes up the
    rows of a TIFF that is to be turned by 90 degrees. So it is left without the name.
    """
    name, picture.filename = getattr(picture, "filename", ""), ""  # type: ignore[attr-defined]
    try:
        picture.load()
    finally:
        picture.filename = name  # type: ignore[attr-defined]


def pixels_of(picture: Image.Image) -> NDArray[Any]:
    """The pixels of a picture that is upright, see :class:`Pixels`.

    Raises:
        DataError: For a picture without a fixed range, or with transparency.
    """
    if picture.mode in ("I;16", "I;16B", "I;16L"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("I", "F"):
        raise DataError(
            f"a picture of mode {picture.mode} has no fixed range: make it 8 or 16 bits"
        )
    if picture.has_transparency_data:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            raise DataError("the picture is partly transparent, which cannot be sent: flatten it")
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
