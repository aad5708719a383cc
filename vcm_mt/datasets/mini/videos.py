"""One video of the embedded set: a camera that stands still, pans or shakes, and moving objects.

Like the pictures, videos are made of integers, so that a seed gives the same pixels everywhere.
Places are in sixteenths of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from vcm_mt.datasets.mini.compose import PICTURE_SIZE
from vcm_mt.datasets.mini.objects import CLASSES, draw_opacity, draw_paint
from vcm_mt.datasets.mini.photographs import PHOTOGRAPHS, photograph

CAMERAS = ("still", "pan", "shake")

_SPLIT_KEYS = {"train": 2, "val": 3}
_UNIT = 16  # places per pixel
_OBJECTS = (3, 7)  # at least, fewer than
_SIZES = (26, 72)  # pixels, likewise
_MARGIN = 24  # pixels of the background around the picture, at least
_PAN, _OBJECT = 4 * _UNIT, 5 * _UNIT  # fastest, per frame
_SHAKE = 20  # largest push per frame; the hand pulls back a fifth of the way
_ALIKE, _COMES, _GOES = 50, 30, 30  # percent: of the first one's category, born later, gone earlier
_VISIBLE_PERCENT = 25


class Seen(NamedTuple):
    """An object in a frame.

    Attributes:
        instance: The object's number in its video, from 1.
        category: Its category's index.
        mask: Its visible part, bool [H, W].
    """

    instance: int
    category: int
    mask: np.ndarray


class Frame(NamedTuple):
    """A picture, uint8 [H, W, 3], RGB, and the objects in it of which a quarter is visible."""

    picture: np.ndarray
    objects: list[Seen]


class _Actor(NamedTuple):
    """An object of a video: its looks, where it is in each frame, and when it is there."""

    category: int
    opacity: np.ndarray
    paint: np.ndarray
    down: np.ndarray
    right: np.ndarray
    born: int
    gone: int


def camera_of(index: int) -> str:
    """The camera of a video by its number."""
    return CAMERAS[index % len(CAMERAS)]


def video(seed: int, split: str, index: int, frames: int) -> Iterator[Frame]:
    """Generate video ``index`` of ``split``; equal arguments give equal pixels."""
    rng = np.random.Generator(np.random.PCG64([seed, _SPLIT_KEYS[split], index]))
    scene, down, right = _camera(rng, split, camera_of(index), frames)
    gain = int(rng.integers(75, 116))  # percent
    actors = _actors(rng, split, _view(scene, down[0], right[0]) * gain // 100, frames)
    reach = int(rng.integers(1, 5))
    for number in range(frames):
        canvas = _view(scene, down[number], right[number]) * gain // 100
        objects = _paint(canvas, actors, number)
        noise = rng.integers(-reach, reach + 1, size=(3, *canvas.shape), dtype=np.int32).sum(0)
        yield Frame(np.clip(canvas + noise, 0, 255).astype(np.uint8), objects)


def _camera(
    rng: np.random.Generator, split: str, camera: str, frames: int
) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """The scene, and the places of the camera in it."""
    source = photograph(int(rng.integers(len(PHOTOGRAPHS))), split)
    side = min(source.width, source.height)
    part = int(rng.integers(min(150, side), min(side, PICTURE_SIZE * 5 // 4) + 1))
    smallest = PICTURE_SIZE + _MARGIN
    width, height = (max(smallest, n * smallest // part) for n in (source.width, source.height))
    scene = source.resize((width, height), Image.Resampling.BICUBIC)
    spans = [(n - PICTURE_SIZE) * _UNIT for n in (height, width)]
    if camera == "pan":
        down, right = (_bounce(rng, frames, span, _PAN) for span in spans)
    elif camera == "shake":
        down, right = (_tremble(rng, frames, span) for span in spans)
    else:
        down, right = (np.full(frames, int(rng.integers(span + 1))) for span in spans)
    return scene, down, right


def _view(scene: Image.Image, down: int, right: int) -> np.ndarray:
    """What the camera sees, int32 [H, W, 3]."""
    top, left = down / _UNIT, right / _UNIT  # exact: sixteenths
    box = (left, top, left + PICTURE_SIZE, top + PICTURE_SIZE)
    seen = scene.resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BICUBIC, box)
    return np.asarray(seen, dtype=np.int32)


def _bounce(rng: np.random.Generator, frames: int, span: int, fastest: int) -> np.ndarray:
    """A smooth way to and fro between 0 and ``span``."""
    place, speed = int(rng.integers(span + 1)), int(rng.integers(-fastest, fastest + 1))
    way = []
    for _ in range(frames):
        way.append(place)
        place += speed
        if not 0 <= place <= span:
            place, speed = min(max(place, -place), 2 * span - place), -speed
            place = min(max(place, 0), span)
        speed += int(rng.integers(-fastest // 16, fastest // 16 + 1))
        speed = min(max(speed, -fastest), fastest)
    return np.array(way)


def _tremble(rng: np.random.Generator, frames: int, span: int) -> np.ndarray:
    """A hand that wants to hold the camera still."""
    middle, away, way = int(rng.integers(span + 1)), 0, []
    for _ in range(frames):
        away = away * 4 // 5 + int(rng.integers(-_SHAKE, _SHAKE + 1))
        way.append(min(max(middle + away, 0), span))
    return np.array(way)


def _actors(rng: np.random.Generator, split: str, behind: np.ndarray, frames: int) -> list[_Actor]:
    first = int(rng.integers(len(CLASSES)))
    actors = []
    for _ in range(int(rng.integers(*_OBJECTS))):
        alike = int(rng.integers(100)) < _ALIKE
        category = first if alike else int(rng.integers(len(CLASSES)))
        opacity = draw_opacity(rng, category, split, int(rng.integers(*_SIZES)))
        height, width = opacity.shape
        down = _bounce(rng, frames, (PICTURE_SIZE - height) * _UNIT, _OBJECT)
        right = _bounce(rng, frames, (PICTURE_SIZE - width) * _UNIT, _OBJECT)
        top, left = down[0] // _UNIT, right[0] // _UNIT
        paint = draw_paint(rng, behind[top : top + height, left : left + width])
        late, early = int(rng.integers(100)) < _COMES, int(rng.integers(100)) < _GOES
        born = int(rng.integers(1, frames // 2 + 1)) if late else 0
        gone = int(rng.integers(frames // 2, frames)) + 1 if early else frames
        actors.append(_Actor(category, opacity, paint, down, right, born, max(gone, born + 1)))
    return actors


def _paint(canvas: np.ndarray, actors: list[_Actor], number: int) -> list[Seen]:
    """Paint the objects that are there; those behind others are hidden by them."""
    owner = np.zeros(canvas.shape[:2], dtype=np.int32)
    there = [(n, a) for n, a in enumerate(actors, start=1) if a.born <= number < a.gone]
    for instance, actor in there:
        height, width = actor.opacity.shape
        top, left = actor.down[number] // _UNIT, actor.right[number] // _UNIT
        where = slice(top, top + height), slice(left, left + width)
        cover = actor.opacity[..., None]
        canvas[where] = (actor.paint * cover + canvas[where] * (255 - cover) + 127) // 255
        owner[where][actor.opacity >= 128] = instance
    seen = [Seen(instance, actor.category, owner == instance) for instance, actor in there]
    areas = [int((actor.opacity >= 128).sum()) for _, actor in there]
    return [
        one
        for one, area in zip(seen, areas, strict=True)
        if 100 * int(one.mask.sum()) >= _VISIBLE_PERCENT * area
    ]
