"""One clip of the embedded set of actions: a figure that moves, in front of a photograph.

Half of the motions are others played backwards, so that no single frame tells them apart. Like the
pictures, clips are made of integers: a seed gives the same pixels everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vcm_mt.datasets.mini.figures import UNIT, Angles, draw_colours, draw_figure, sine
from vcm_mt.datasets.mini.photographs import background

MOTIONS = (
    "walk_left", "walk_right", "raise_arms", "lower_arms", "squat", "rise", "wave", "jumping_jack",
)  # fmt: skip
#: Side of a frame in pixels.
CLIP_SIZE = 128

_SPLIT_KEYS = {"train": 6, "val": 7}
_SIZES = (66, 100)  # of the figure in pixels, at least, fewer than
_SHAKE = 3  # pixels that the camera moves from frame to frame, at most


class Posed(NamedTuple):
    """A frame: picture, uint8 [H, W, 3], RGB, and the figure's pixels, bool [H, W]."""

    picture: np.ndarray
    mask: np.ndarray


class _Pose(NamedTuple):
    """Angles, and how far the hips are from where they started, in thousandths of the size."""

    angles: Angles
    right: int = 0
    down: int = 0


def motion_of(index: int) -> int:
    """A clip's motion, as a place in :data:`MOTIONS`."""
    return index % len(MOTIONS)


def clip(seed: int, split: str, index: int, frames: int) -> Iterator[Posed]:
    """Generate clip ``index`` of ``split``; equal arguments give equal pixels."""
    rng = np.random.Generator(np.random.PCG64([seed, _SPLIT_KEYS[split], index]))
    margin = _SHAKE * 2
    scene = background(rng, split, CLIP_SIZE + 2 * margin)
    size = int(rng.integers(*_SIZES))
    colours = draw_colours(rng, scene)
    place = [CLIP_SIZE * UNIT * int(rng.integers(*span)) // 100 for span in ((42, 59), (48, 57))]
    poses = _poses(rng, MOTIONS[motion_of(index)], frames)
    reach, away = int(rng.integers(1, 5)), np.zeros(2, dtype=np.int64)
    for pose in poses:
        away = np.clip(away + rng.integers(-_SHAKE, _SHAKE + 1, size=2), -margin, margin)
        top, left = away + margin
        canvas = scene[top : top + CLIP_SIZE, left : left + CLIP_SIZE].copy()
        hips = tuple(
            at + UNIT * (step * size // 1000 - int(shift))
            for at, step, shift in zip(place, (pose.right, pose.down), away[::-1], strict=True)
        )
        mask = draw_figure(canvas, pose.angles, (hips[0], hips[1]), size, colours).mask
        noise = rng.integers(-reach, reach + 1, size=(3, *canvas.shape), dtype=np.int32).sum(0)
        yield Posed(np.clip(canvas + noise, 0, 255).astype(np.uint8), mask)


def _poses(rng: np.random.Generator, motion: str, frames: int) -> list[_Pose]:
    """The poses of all frames."""
    base = Angles(*(int(rng.integers(-6, 7)) for _ in Angles._fields))
    forwards = {"walk_left": "walk_right", "lower_arms": "raise_arms", "rise": "squat"}
    make = _MOTIONS[forwards.get(motion, motion)]
    begin, length = int(rng.integers(0, frames // 4 + 1)), int(rng.integers(60, 101))
    pace, phase, reach = (int(rng.integers(*span)) for span in ((80, 141), (360,), (80, 121)))
    found = []
    for number in range(frames):
        # The way through a single movement, in percent, and the angle of one that repeats.
        way = 100 * 100 * (number - begin) // ((frames - 1) * length)
        turn = phase + 360 * 2 * pace * number // (100 * frames)
        found.append(make(base, min(max(way, 0), 100), turn, reach))
    return found[::-1] if motion in forwards else found


def _walk(base: Angles, way: int, turn: int, reach: int) -> _Pose:
    swing = sine(turn, 24 * reach // 100)
    moved = base._replace(
        left_leg=base.left_leg + swing,
        right_leg=base.right_leg - swing,
        left_arm=base.left_arm - swing,
        right_arm=base.right_arm + swing,
    )
    return _Pose(moved, right=(way - 50) * 8 * reach // 100)


def _raise(base: Angles, way: int, turn: int, reach: int) -> _Pose:  # noqa: ARG001
    up = 12 + 145 * way * reach // (100 * 120)
    return _Pose(base._replace(left_arm=up + base.left_arm, right_arm=up + base.right_arm))


def _squat(base: Angles, way: int, turn: int, reach: int) -> _Pose:  # noqa: ARG001
    bend = 62 * way * reach // (100 * 100)
    moved = base._replace(
        left_leg=bend, right_leg=bend, left_knee=-bend * 19 // 10, right_knee=-bend * 19 // 10
    )
    return _Pose(moved, down=3 * bend)


def _wave(base: Angles, way: int, turn: int, reach: int) -> _Pose:  # noqa: ARG001
    bend = 40 + sine(turn, 45 * reach // 100)
    return _Pose(base._replace(right_arm=base.right_arm + 115, right_elbow=bend))


def _jumping_jack(base: Angles, way: int, turn: int, reach: int) -> _Pose:  # noqa: ARG001
    arms, legs = 80 + sine(turn, 65 * reach // 100), 18 + sine(turn, 16 * reach // 100)
    moved = base._replace(left_arm=arms, right_arm=arms, left_leg=legs, right_leg=legs)
    return _Pose(moved, down=-sine(turn, 30))


_MOTIONS = {
    "walk_right": _walk,
    "raise_arms": _raise,
    "squat": _squat,
    "wave": _wave,
    "jumping_jack": _jumping_jack,
}
