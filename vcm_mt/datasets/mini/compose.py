"""One picture of the embedded set: a background and several objects that may overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vcm_mt.datasets.mini.objects import CLASSES, draw_opacity, draw_paint
from vcm_mt.datasets.mini.photographs import background

PICTURE_SIZE = 256

_SPLIT_KEYS = {"train": 0, "val": 1}
_OBJECTS = (3, 8)  # at least, fewer than
_SIZES = (20, 26, 32, 38, 46, 56, 68, 82)  # pixels; about equal steps in log size
_VISIBLE_PERCENT = 50


class Thing(NamedTuple):
    """An object in a picture: its category index and the mask of its visible part."""

    category: int
    mask: np.ndarray  # bool [H, W]


class Sample(NamedTuple):
    """A picture, uint8 [H, W, 3], RGB, and its objects."""

    picture: np.ndarray
    things: list[Thing]


def compose(seed: int, split: str, index: int) -> Sample:
    """Generate picture ``index`` of ``split``; equal arguments give equal pixels."""
    rng = np.random.Generator(np.random.PCG64([seed, _SPLIT_KEYS[split], index]))
    canvas = background(rng, split, PICTURE_SIZE)
    things: list[Thing] = []
    areas: list[int] = []
    for _ in range(int(rng.integers(*_OBJECTS))):
        category = int(rng.integers(len(CLASSES)))
        step = int(rng.integers(len(_SIZES) - 1))
        size = int(rng.integers(_SIZES[step], _SIZES[step + 1]))
        opacity = draw_opacity(rng, category, split, size)
        top, left = _place(rng, opacity)
        where = slice(top, top + opacity.shape[0]), slice(left, left + opacity.shape[1])
        mask = np.zeros((PICTURE_SIZE, PICTURE_SIZE), dtype=bool)
        mask[where] = opacity >= 128
        kept = [Thing(t.category, t.mask & ~mask) for t in things]
        if any(100 * t.mask.sum() < _VISIBLE_PERCENT * a for t, a in zip(kept, areas, strict=True)):
            continue  # skip an object that would hide another one
        behind = canvas[where]
        paint, cover = draw_paint(rng, behind), opacity[..., None]
        canvas[where] = (paint * cover + behind * (255 - cover) + 127) // 255
        things = [*kept, Thing(category, mask)]
        areas.append(int(mask.sum()))
    return Sample(canvas.astype(np.uint8), things)


def _place(rng: np.random.Generator, opacity: np.ndarray) -> tuple[int, int]:
    height, width = opacity.shape
    return (
        int(rng.integers(PICTURE_SIZE - height + 1)),
        int(rng.integers(PICTURE_SIZE - width + 1)),
    )
