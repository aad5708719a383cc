"""One picture of the embedded figures: a background, figures, and objects in front of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vcm_mt.datasets.mini.compose import PICTURE_SIZE
from vcm_mt.datasets.mini.figures import UNIT, Angles, Figure, draw_colours, draw_figure
from vcm_mt.datasets.mini.objects import CLASSES, draw_opacity, draw_paint
from vcm_mt.datasets.mini.photographs import background

_SPLIT_KEYS = {"train": 4, "val": 5}
_FIGURES = (1, 4)  # at least, fewer than
_HEIGHTS = (70, 84, 100, 120, 144, 172, 206)  # pixels; about equal steps in log size
_OBJECTS = (0, 3)  # at least, fewer than
_OBJECT_SIZES = (24, 56)  # pixels, likewise
_JOINTS = 6  # of a figure that are in the picture, at least
_VISIBLE_PERCENT = 50


class Person(NamedTuple):
    """A figure in a picture.

    Attributes:
        joints: int64 [13, 2], x and y in sixteenths of a pixel.
        visible: int64 [13]: 2 for a joint that is seen, 1 for one that is covered, 0 for one
            outside of the picture.
        box: Left, top, right and bottom of its part inside the picture, in pixels.
        area: Pixels of that part, also where it is covered.
    """

    joints: np.ndarray
    visible: np.ndarray
    box: tuple[int, int, int, int]
    area: int


class Scene(NamedTuple):
    """A picture, uint8 [H, W, 3], RGB, and its figures."""

    picture: np.ndarray
    people: list[Person]


def draw_angles(rng: np.random.Generator) -> Angles:
    """A random pose: limbs anywhere where they can be, and a little lean."""
    return Angles(
        lean=int(rng.integers(-8, 9, size=3).sum()),
        left_arm=int(rng.integers(-15, 150)),
        right_arm=int(rng.integers(-15, 150)),
        left_elbow=int(rng.integers(-10, 105)),
        right_elbow=int(rng.integers(-10, 105)),
        left_leg=int(rng.integers(-6, 46)),
        right_leg=int(rng.integers(-6, 46)),
        left_knee=int(rng.integers(-46, 18)),
        right_knee=int(rng.integers(-46, 18)),
    )


def compose_people(seed: int, split: str, index: int) -> Scene:
    """Generate picture ``index`` of ``split``; equal arguments give equal pixels."""
    rng = np.random.Generator(np.random.PCG64([seed, _SPLIT_KEYS[split], index]))
    canvas = np.ascontiguousarray(background(rng, split, PICTURE_SIZE))
    figures: list[Figure] = []
    owner = np.zeros(canvas.shape[:2], dtype=np.int32)
    for _ in range(int(rng.integers(*_FIGURES))):
        before = canvas.copy()
        figure = _figure(rng, canvas)
        covered = np.where(figure.mask, len(figures) + 1, owner)
        if _labelled(figure).sum() < _JOINTS or _hides(figures, covered):
            canvas = before
            continue
        figures.append(figure)
        owner = covered
    for _ in range(int(rng.integers(*_OBJECTS))):
        _put_object(rng, split, canvas, owner, figures)
    people = [_person(figure, owner, number) for number, figure in enumerate(figures, start=1)]
    return Scene(canvas.astype(np.uint8), people)


def _figure(rng: np.random.Generator, canvas: np.ndarray) -> Figure:
    step = int(rng.integers(len(_HEIGHTS) - 1))
    size = int(rng.integers(_HEIGHTS[step], _HEIGHTS[step + 1]))
    span = PICTURE_SIZE * UNIT
    x, y = (int(rng.integers(span // 5, span * 4 // 5)) for _ in range(2))
    return draw_figure(canvas, draw_angles(rng), (x, y), size, draw_colours(rng, canvas))


def _labelled(figure: Figure) -> np.ndarray:
    """Which joints are in the picture."""
    inside = (figure.joints >= 0) & (figure.joints < PICTURE_SIZE * UNIT)
    return np.asarray(inside.all(1))


def _hides(figures: list[Figure], owner: np.ndarray) -> bool:
    """Whether less than half of a figure is left to see."""
    return any(
        100 * np.count_nonzero(owner == number) < _VISIBLE_PERCENT * np.count_nonzero(one.mask)
        for number, one in enumerate(figures, start=1)
    )


def _put_object(
    rng: np.random.Generator,
    split: str,
    canvas: np.ndarray,
    owner: np.ndarray,
    figures: list[Figure],
) -> None:
    """Paint an object over the picture, unless it would hide a figure."""
    opacity = draw_opacity(
        rng, int(rng.integers(len(CLASSES))), split, int(rng.integers(*_OBJECT_SIZES))
    )
    height, width = opacity.shape
    top, left = (int(rng.integers(PICTURE_SIZE - side + 1)) for side in (height, width))
    where = slice(top, top + height), slice(left, left + width)
    covered = owner.copy()
    covered[where][opacity >= 128] = 0
    if _hides(figures, covered):
        return
    paint, cover = draw_paint(rng, canvas[where]), opacity[..., None]
    canvas[where] = (paint * cover + canvas[where] * (255 - cover) + 127) // 255
    owner[:] = covered


def _person(figure: Figure, owner: np.ndarray, number: int) -> Person:
    visible = _labelled(figure).astype(np.int64)
    columns, rows = figure.joints[visible > 0].T // UNIT
    visible[visible > 0] += owner[rows, columns] == number
    rows, columns = np.nonzero(figure.mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    left, top, right, bottom = (int(side) for side in box)
    return Person(figure.joints, visible, (left, top, right, bottom), len(rows))
