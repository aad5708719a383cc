"""Articulated figures of the embedded sets: joints from angles, limbs as exact integer shapes.

Places and joints are in sixteenths of a pixel, of which a pixel's centre is at eight. Everything is
integer arithmetic, so that a seed gives the same pixels everywhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from vcm_mt.datasets.mini.objects import draw_paint

#: Names of the joints in the order of their annotations. Left is the figure's own left: figures
#: face the camera, so that it is to the right in the picture.
JOINTS = (
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

#: Parts of a figure that have a colour each, in the order in which they are painted.
PARTS = ("left_leg", "right_leg", "torso", "left_arm", "right_arm", "head")

UNIT = 16  # places per pixel
_SAMPLES = 4  # per pixel and axis, for the opacity at a limb's edge
_ONE = 1 << 14  # the fixed-point 1 of sines
_SINES = tuple(round(_ONE * math.sin(math.radians(degrees))) for degrees in range(360))

# The body in thousandths of the figure's size, y down, with the middle of the hips at (0, 0).
_HEAD, _SHOULDER, _HIP = (0, -430), (110, -300), (70, 0)
_UPPER_ARM, _FOREARM, _THIGH, _SHANK = 170, 160, 240, 240
_ARM_RADIUS, _LEG_RADIUS, _HEAD_RADIUS, _TRUNK_RADIUS = 27, 34, 75, 85


class Angles(NamedTuple):
    """The pose of a figure, in whole degrees; all 0 stands upright with hanging arms.

    Attributes:
        lean: Rotation of the whole figure, clockwise in the picture.
        left_arm: From hanging to raised outwards: 90 is level, 180 straight up.
        right_arm: The same on the other side.
        left_elbow: Bend of the forearm, further in the arm's direction.
        right_elbow: The same on the other side.
        left_leg: From straight down to spread outwards.
        right_leg: The same on the other side.
        left_knee: Bend of the shank, further in the leg's direction; below 0 inwards.
        right_knee: The same on the other side.
    """

    lean: int = 0
    left_arm: int = 0
    right_arm: int = 0
    left_elbow: int = 0
    right_elbow: int = 0
    left_leg: int = 0
    right_leg: int = 0
    left_knee: int = 0
    right_knee: int = 0


class Figure(NamedTuple):
    """A figure that was drawn.

    Attributes:
        joints: int64 [13, 2], x and y in sixteenths of a pixel in the order of :data:`JOINTS`;
            they may be outside of the picture.
        mask: bool [H, W], the pixels that it covers by half or more.
    """

    joints: np.ndarray
    mask: np.ndarray


def draw_figure(
    canvas: np.ndarray,
    angles: Angles,
    place: tuple[int, int],
    size: int,
    colours: np.ndarray,
) -> Figure:
    """Draw a figure.

    Args:
        canvas: int32 [H, W, 3], 0 to 255; it is painted on in place.
        angles: The pose.
        place: x and y of the middle of the hips, in sixteenths of a pixel. Parts outside of the
            picture are cut off.
        size: Height of the figure in pixels when it stands upright.
        colours: int [6, 3], RGB of each of :data:`PARTS`; see :func:`draw_colours`.

    Returns:
        Its joints and its mask.
    """
    joints = figure_joints(angles, place, size)
    mask = np.zeros(canvas.shape[:2], dtype=bool)
    for limbs, colour in zip(_parts(joints, size), colours, strict=True):
        box = _box(limbs, canvas.shape[:2])
        if box is None:
            continue
        opacity = _opacity(limbs, box)
        mask[box] |= opacity >= 128
        cover = opacity[..., None]
        canvas[box] = (colour * cover + canvas[box] * (255 - cover) + 127) // 255
    return Figure(joints, mask)


def draw_colours(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """Colours for a figure, each near one of a random spot of the picture behind it.

    Args:
        rng: Source of every choice.
        behind: int32 [H, W, 3], 0 to 255, at least 32 pixels high and wide.

    Returns:
        int32 [6, 3], RGB of each of :data:`PARTS`. Both legs have one colour, and usually both
        arms.
    """
    legs, torso, left_arm, right_arm, head = (_colour(rng, behind) for _ in range(5))
    if int(rng.integers(100)) < 70:
        right_arm = left_arm
    return np.stack([legs, legs, torso, left_arm, right_arm, head])


def _colour(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    side = 32
    top, left = (int(rng.integers(n - side + 1)) for n in behind.shape[:2])
    paint = draw_paint(rng, behind[top : top + side, left : left + side])
    return paint.reshape(-1, 3).sum(0, dtype=np.int32) // (side * side)


def figure_joints(angles: Angles, place: tuple[int, int], size: int) -> np.ndarray:
    """The joints of a figure, int64 [13, 2]; see :func:`draw_figure`."""
    arms = (
        (1, _UPPER_ARM, _FOREARM, angles.left_arm, angles.left_elbow),
        (-1, _UPPER_ARM, _FOREARM, angles.right_arm, angles.right_elbow),
    )
    legs = (
        (1, _THIGH, _SHANK, angles.left_leg, angles.left_knee),
        (-1, _THIGH, _SHANK, angles.right_leg, angles.right_knee),
    )
    points = [_scaled(_HEAD, size)]
    points += _limbs(_scaled(_SHOULDER, size), arms, size)
    points += _limbs(_scaled(_HIP, size), legs, size)
    turned = [_turned(point, angles.lean) for point in points]
    return np.array([(place[0] + x, place[1] + y) for x, y in turned], dtype=np.int64)


def _limbs(
    root: tuple[int, int], sides: tuple[tuple[int, int, int, int, int], ...], size: int
) -> list[tuple[int, int]]:
    """Roots, middles and ends of a limb and its mirror image, left before right."""
    roots, middles, ends = [], [], []
    for side, upper, lower, angle, bend in sides:
        start = (side * root[0], root[1])
        middle = _along(start, side * angle, upper, size)
        roots.append(start)
        middles.append(middle)
        ends.append(_along(middle, side * (angle + bend), lower, size))
    return [*roots, *middles, *ends]


def _along(start: tuple[int, int], degrees: int, length: int, size: int) -> tuple[int, int]:
    """The end of a bone that hangs straight down at 0 degrees and points right at 90."""
    x, y = _turned(_scaled((0, length), size), -degrees)
    return start[0] + x, start[1] + y


def _scaled(point: tuple[int, int], size: int) -> tuple[int, int]:
    x, y = (value * size * UNIT // 1000 for value in point)
    return x, y


def _turned(point: tuple[int, int], degrees: int) -> tuple[int, int]:
    """Rotate about (0, 0), clockwise in a picture, whose y points down."""
    sine, cosine = _SINES[degrees % 360], _SINES[(degrees + 90) % 360]
    x, y = point
    half = _ONE // 2
    return (x * cosine - y * sine + half) // _ONE, (x * sine + y * cosine + half) // _ONE


def sine(degrees: int, reach: int) -> int:
    """``reach`` times the sine, rounded down to a whole number."""
    return _SINES[degrees % 360] * reach // _ONE


class _Limb(NamedTuple):
    """Everything not further than ``radius`` from the line between two points."""

    start: np.ndarray
    end: np.ndarray
    radius: int


def _parts(joints: np.ndarray, size: int) -> list[list[_Limb]]:
    """The limbs of each of :data:`PARTS`."""
    arm, leg, head, trunk = (
        max(radius * size * UNIT // 1000, UNIT // 2)
        for radius in (_ARM_RADIUS, _LEG_RADIUS, _HEAD_RADIUS, _TRUNK_RADIUS)
    )
    shoulders, hips = (joints[n : n + 2].sum(0) // 2 for n in (1, 7))
    chest, belly = ((near * 3 + far) // 4 for near, far in ((shoulders, hips), (hips, shoulders)))
    torso = [_Limb(joints[1], joints[2], leg), _Limb(joints[7], joints[8], leg)]

    def bones(root: int, radius: int) -> list[_Limb]:
        return [_Limb(joints[n], joints[n + 2], radius) for n in (root, root + 2)]

    return [
        bones(7, leg),
        bones(8, leg),
        [*torso, _Limb(chest, belly, trunk)],
        bones(1, arm),
        bones(2, arm),
        [_Limb(joints[0], joints[0], head)],
    ]


def _box(limbs: list[_Limb], size: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns of the pixels that limbs may touch; ``None`` outside of the picture."""
    corners = [end + way * limb.radius for limb in limbs for end in limb[:2] for way in (-1, 1)]
    lowest, highest = np.min(corners, 0) // UNIT, np.max(corners, 0) // UNIT + 1
    left, top = np.maximum(lowest, 0)
    right, bottom = np.minimum(highest, size[::-1])
    if left >= right or top >= bottom:
        return None
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _opacity(limbs: list[_Limb], box: tuple[slice, slice]) -> np.ndarray:
    """The share of each pixel in ``box`` that limbs cover, int32 [h, w] in 0 to 255."""
    rows, columns = (
        np.arange(one.start * _SAMPLES, one.stop * _SAMPLES) * (UNIT // _SAMPLES)
        + UNIT // _SAMPLES // 2
        for one in box
    )
    inside = np.zeros((len(rows), len(columns)), dtype=bool)
    for limb in limbs:
        inside |= _inside(limb, rows[:, None], columns[None])
    height, width = len(rows) // _SAMPLES, len(columns) // _SAMPLES
    counts = inside.reshape(height, _SAMPLES, width, _SAMPLES).sum((1, 3), dtype=np.int32)
    return counts * 255 // _SAMPLES**2


def _inside(limb: _Limb, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether points are in a limb: an exact comparison of squared distances."""
    away_x, away_y = x - limb.start[0], y - limb.start[1]
    bone = limb.end - limb.start
    square = max(int(bone @ bone), 1)
    along = np.clip(away_x * bone[0] + away_y * bone[1], 0, int(bone @ bone))
    # The squared distance to the nearest point, start + bone * along / square, times square:
    # whole numbers that int64 holds for pictures up to some thousand pixels.
    distance = square * (away_x**2 + away_y**2) - along * (
        2 * (away_x * bone[0] + away_y * bone[1]) - along
    )
    return np.asarray(distance <= limb.radius**2 * square)
