"""Clips out of still pictures: what a moving camera would see of each."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vcm_mt.datasets.sampler import Draw
from vcm_mt.errors import ConfigError
from vcm_mt.registry import DATASETS

#: Pixels, turns and zooms from a frame to the next, at most.
_STEP, _TURN, _ZOOM = 8.0, 0.01, 0.01
#: How fast these change, as a share of the largest.
_CHANGE = 0.2
#: Share of clips seen by a camera that stands still, and of those with something that moves.
_STILL, _MOVING = 0.2, 0.7
#: Standard deviation of the sensor's noise in levels, at most.
_NOISE = 3.0


@DATASETS.register_module()
class CameraClips(Dataset[list[Any]]):
    """Clips that a camera makes of a data set of pictures, for a temporal prior.

    The camera drifts, turns and zooms over the picture, or stands still; a piece of another
    picture may move across it; every frame has noise of its own. Annotations do not come along.
    Load it with ``collate_fn=dict(type="vcm_mt.flat_collate")``.

    Args:
        dataset: Config of the pictures' data set.
        frames: Frames of a clip.
        size: Side of a frame in pixels. Smaller pictures are enlarged.

    Raises:
        ConfigError: If a clip has fewer than two frames.
    """

    def __init__(self, dataset: dict[str, Any], frames: int = 5, size: int = 256) -> None:
        if frames < 2:
            raise ConfigError(f"a clip for a temporal prior has 2 frames or more, not {frames}")
        self.pictures = DATASETS.build(dataset)
        self.count, self.size = frames, size

    @property
    def metainfo(self) -> dict[str, Any]:
        """The pictures' classes and the like."""
        known: dict[str, Any] = self.pictures.metainfo
        return known

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The record of a clip's picture, with the size of a frame."""
        record: dict[str, Any] = self.pictures.get_data_info(index)
        return record | {"width": self.size, "height": self.size}

    def __len__(self) -> int:
        """The number of clips, one for each picture."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> list[Any]:
        """The frames of a clip: ``inputs``, uint8 [3, size, size], and ``data_samples``."""
        words = getattr(index, "words", (0, int(index)))
        rng = np.random.default_rng([*words])
        packed = self._packed(index, words)
        scene = packed["inputs"].permute(1, 2, 0).contiguous().numpy()
        actor = None
        if rng.random() < _MOVING:
            other = self._packed(int(rng.integers(len(self))), words)
            actor = _Actor(rng, other["inputs"].permute(1, 2, 0).contiguous().numpy(), self.size)
        frames = []
        for place, frame in enumerate(self._seen(rng, scene, actor)):
            sample = BaseDataElement(
                metainfo={
                    "img_path": packed["data_samples"].metainfo.get("img_path"),
                    "img_shape": frame.shape[:2],
                    "ori_shape": frame.shape[:2],
                    "clip_place": place,
                }
            )
            inputs = torch.from_numpy(frame).permute(2, 0, 1).contiguous()
            frames.append({"inputs": inputs, "data_samples": sample})
        return frames

    def _packed(self, index: int, words: tuple[int, ...]) -> Any:
        draw = Draw(index)
        draw.words = words
        return self.pictures[draw]

    def _seen(
        self, rng: np.random.Generator, scene: NDArray[np.uint8], actor: _Actor | None
    ) -> list[NDArray[np.uint8]]:
        still, size = rng.random() < _STILL, self.size
        scene = _scaled(rng, scene, size)
        middle = rng.uniform(0.3, 0.7, 2) * scene.shape[1::-1]
        limits = np.array([_STEP, _STEP, _TURN, _ZOOM]) * (0 if still else rng.uniform(0, 1))
        speed = rng.uniform(-1, 1, 4) * limits
        noise, gain = (np.float32(rng.uniform(*span)) for span in ((0, _NOISE), (0.75, 1.15)))
        place, frames = np.zeros(4), []
        for number in range(self.count):
            seen = cv2.warpAffine(
                scene, _view(middle, place, size), (size, size),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101,
            ).astype(np.float32)  # fmt: skip
            if actor is not None:
                actor.paint(seen, number)
            seen = gain * seen + noise * rng.standard_normal(seen.shape, dtype=np.float32)
            frames.append(np.clip(seen.round(), 0, 255).astype(np.uint8))
            place += speed
            speed = np.clip(speed + _CHANGE * limits * rng.uniform(-1, 1, 4), -limits, limits)
        return frames


class _Actor:
    """A round piece of a picture that moves across the frames."""

    def __init__(self, rng: np.random.Generator, picture: NDArray[np.uint8], size: int) -> None:
        side = int(rng.integers(size // 8, size // 2))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        self._pixels = small.astype(np.float32)
        across = np.linspace(-1, 1, side, dtype=np.float32)
        distance = across[:, None] ** 2 + across[None] ** 2
        self._opacity = np.clip((1 - distance) * side / 4, 0, 1)[..., None]
        self._start, self._speed = rng.uniform(-side / 2, size - side / 2, 2), rng.normal(0, 6, 2)

    def paint(self, frame: NDArray[np.float32], number: int) -> None:
        place = self._start + number * self._speed
        shift = np.array([[1, 0, place[0]], [0, 1, place[1]]], dtype=np.float64)
        size = (frame.shape[1], frame.shape[0])
        cover = cv2.warpAffine(self._opacity, shift, size)[..., None]
        frame += cover * (cv2.warpAffine(self._pixels, shift, size) - frame)


def _scaled(rng: np.random.Generator, scene: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A picture at a random scale, so that a frame shows all of its shorter side or less."""
    fewest = 1.1 * size / min(scene.shape[:2])
    factor = rng.uniform(max(0.5, fewest), max(2.0, fewest))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled: Any = cv2.resize(scene, None, fx=factor, fy=factor, interpolation=way)
    return scaled


def _view(
    middle: NDArray[np.float64], place: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """From a frame's pixels to the picture's, [2, 3]: shifted, turned and zoomed by ``place``."""
    right, down, turn, zoom = place
    cosine, sine = float(np.exp(zoom)) * np.array([np.cos(turn), np.sin(turn)])
    view = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]])
    view[:, 2] = middle + [right, down] - view[:, :2] @ np.array([size / 2, size / 2])
    return view
