"""Backgrounds: random crops of real photographs, train and val from disjoint columns."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image

#: Package folder and file of each photograph.
PHOTOGRAPHS = (
    ("skimage.data", "astronaut.png"),
    ("skimage.data", "brick.png"),
    ("skimage.data", "camera.png"),
    ("skimage.data", "chelsea.png"),
    ("skimage.data", "coffee.png"),
    ("skimage.data", "grass.png"),
    ("skimage.data", "gravel.png"),
    ("skimage.data", "hubble_deep_field.jpg"),
    ("skimage.data", "ihc.png"),
    ("skimage.data", "motorcycle_left.png"),
    ("skimage.data", "retina.jpg"),
    ("skimage.data", "rocket.jpg"),
    ("sklearn.datasets.images", "china.jpg"),
    ("sklearn.datasets.images", "flower.jpg"),
)

#: Columns left of this share of the width belong to train, the others to val.
TRAIN_COLUMNS_PERCENT = 62

_SMALLEST_CROP = 150


@cache
def photograph(index: int, split: str) -> Image.Image:
    """The columns of photograph ``index`` that belong to ``split``, as RGB."""
    package, name = PHOTOGRAPHS[index]
    with Image.open(str(files(package) / name)) as picture:
        rgb = picture.convert("RGB")
    cut = rgb.width * TRAIN_COLUMNS_PERCENT // 100
    left, right = (0, cut) if split == "train" else (cut, rgb.width)
    return rgb.crop((left, 0, right, rgb.height))


def background(rng: np.random.Generator, split: str, size: int) -> np.ndarray:
    """Draw one background.

    Args:
        rng: Source of every choice.
        split: ``"train"`` or ``"val"``.
        size: Side of the square in pixels.

    Returns:
        int32 [size, size, 3], RGB in 0..255: a crop at 0.6 to 1.5 times the photograph's
        own scale where it is large enough, flipped at random, with a little sensor noise.
    """
    source = photograph(int(rng.integers(len(PHOTOGRAPHS))), split)
    widest = min(source.width, source.height, size * 3 // 2)
    side = int(rng.integers(min(_SMALLEST_CROP, widest), widest + 1))
    left = int(rng.integers(source.width - side + 1))
    top = int(rng.integers(source.height - side + 1))
    crop = source.crop((left, top, left + side, top + side))
    pixels = np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC), dtype=np.int32)
    if rng.integers(2):
        pixels = pixels[:, ::-1]
    gain = int(rng.integers(75, 116))  # percent
    pixels = pixels * gain // 100
    return np.clip(pixels + sensor_noise(rng, pixels.shape), 0, 255)


def sensor_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Nearly Gaussian integer noise, standard deviation 0 to 4 levels, drawn per picture.

    A sum of three uniform integers, so that no machine's ``exp`` or ``log`` takes part.
    """
    reach = int(rng.integers(5))
    return rng.integers(-reach, reach + 1, size=(3, *shape), dtype=np.int32).sum(0)
