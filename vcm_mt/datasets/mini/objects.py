"""Objects of the embedded set: handwritten digits and drawn shapes, as opacity and paint."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

SHAPES = ("star", "arrow")

#: Category names in the order of their COCO ids, which start at 1.
CLASSES = tuple(f"digit_{d}" for d in range(10)) + SHAPES

_TRAIN_DIGITS = 1200  # of scikit-learn's 1797 handwritten digits; the others are for val
_UPRIGHT = 25  # largest rotation of an object in degrees


@cache
def _digit_indexes(digit: int, split: str) -> tuple[int, ...]:
    labels = load_digits().target
    wanted = range(_TRAIN_DIGITS) if split == "train" else range(_TRAIN_DIGITS, len(labels))
    return tuple(i for i in wanted if labels[i] == digit)


@cache
def _digit_images() -> np.ndarray:
    return (load_digits().images * 255 / 16).astype(np.uint8)


def _digit(rng: np.random.Generator, digit: int, split: str, size: int) -> Image.Image:
    choices = _digit_indexes(digit, split)
    strokes = _digit_images()[choices[int(rng.integers(len(choices)))]]
    return Image.fromarray(np.pad(strokes, 1)).resize((size, size), Image.Resampling.BICUBIC)


def _outline(shape: str) -> list[tuple[float, float]]:
    """Corner points of a shape in the unit square."""
    if shape == "star":
        radii = (0.48, 0.2)
        turn = [(radii[k % 2], math.pi * k / 5) for k in range(10)]
        return [(0.5 + r * math.sin(a), 0.5 - r * math.cos(a)) for r, a in turn]
    return [(0.02, 0.4), (0.55, 0.4), (0.55, 0.15), (0.98, 0.5),
            (0.55, 0.85), (0.55, 0.6), (0.02, 0.6)]  # fmt: skip


def _shape(shape: str, size: int) -> Image.Image:
    canvas = Image.new("L", (4 * size, 4 * size))
    corners = [(round(4 * size * x), round(4 * size * y)) for x, y in _outline(shape)]
    ImageDraw.Draw(canvas).polygon(corners, fill=255)
    return canvas.resize((size, size), Image.Resampling.BOX)


def draw_opacity(rng: np.random.Generator, category: int, split: str, size: int) -> np.ndarray:
    """Draw the outline of an object.

    Args:
        rng: Source of every choice.
        category: Index into :data:`CLASSES`.
        split: Which handwritten digits may be used, ``"train"`` or ``"val"``.
        size: Side in pixels before rotation.

    Returns:
        int32 [h, w] opacity in 0..255, cut to the object's bounding box.
    """
    name = CLASSES[category]
    mask = _shape(name, size) if name in SHAPES else _digit(rng, category, split, size)
    lean = int(rng.integers(-_UPRIGHT, _UPRIGHT + 1))
    mask = mask.rotate(lean, Image.Resampling.BILINEAR, expand=True)
    opacity = np.clip((np.asarray(mask, dtype=np.int32) - 70) * 3, 0, 255)
    rows, columns = np.nonzero(opacity.max(1))[0], np.nonzero(opacity.max(0))[0]
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw_paint(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """Paint for an object: the mean colour behind it, shifted, with stripes or noise.

    Args:
        rng: Source of every choice.
        behind: int32 [h, w, 3], the pixels that the object will cover.

    Returns:
        int32 [h, w, 3] in 0..255.
    """
    height, width, _ = behind.shape
    mean = behind.reshape(-1, 3).sum(0) // (height * width)
    brighter = int(mean.sum()) < 3 * int(rng.integers(90, 166))
    shift = rng.integers(25, 100, size=3)
    colour = mean + (shift if brighter else -shift)
    texture = _texture(rng, height, width)
    return np.clip(colour + texture[..., None], 0, 255).astype(np.int32)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    kind, strength = int(rng.integers(3)), int(rng.integers(8, 28))
    if kind == 0:
        return np.zeros((height, width), dtype=np.int32)
    if kind == 1:
        return rng.integers(-strength, strength + 1, size=(height, width), dtype=np.int32)
    rows, columns = np.indices((height, width))
    down, across = ((1, 0), (0, 1), (1, 1))[int(rng.integers(3))]
    stripe = (down * rows + across * columns) // int(rng.integers(2, 6)) % 2
    return (2 * stripe - 1) * strength
