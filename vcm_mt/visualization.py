"""Drawing of decoded pictures and predictions."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw
from torch import Tensor

_SCORE = 0.4
_GAP = 4


def to_uint8(picture: Tensor) -> np.ndarray:
    """Convert float [1, 3, H, W] in [0, 1] to uint8 [H, W, 3]."""
    pixels = (255 * picture[0].clamp(0, 1)).round().byte()
    return pixels.permute(1, 2, 0).cpu().numpy()


def draw_instances(
    pixels: np.ndarray, instances: InstanceData, classes: Sequence[str]
) -> np.ndarray:
    """Draw boxes, names and masks of instances with a score above 0.4.

    Args:
        pixels: uint8 [H, W, 3].
        instances: ``bboxes`` [n, 4] (x1, y1, x2, y2 in pixels), ``labels``, ``scores`` and
            optionally ``masks`` [n, H, W].
        classes: Names by label.

    Returns:
        uint8 [H, W, 3].
    """
    instances = instances[instances.scores > _SCORE]
    canvas = pixels.astype(np.float32)
    if "masks" in instances:
        for mask, label in zip(instances.masks, instances.labels, strict=True):
            covered = np.asarray(mask.cpu(), dtype=bool)[..., None]
            tint = 0.55 * canvas + 0.45 * np.array(_colour(int(label), len(classes)))
            canvas = np.where(covered, tint, canvas)
    picture = Image.fromarray(canvas.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for box, label in zip(instances.bboxes.tolist(), instances.labels.tolist(), strict=True):
        colour = _colour(label, len(classes))
        pen.rectangle(box, outline=colour)
        pen.text((box[0] + 2, box[1]), classes[label].removeprefix("digit_"), fill=colour)
    return np.asarray(picture)


def side_by_side(panels: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Join pictures of equal size, uint8 [H, W, 3], in a row with a title above each."""
    height, width, _ = panels[0].shape
    row = Image.new("RGB", (len(panels) * (width + _GAP) - _GAP, height + 16), "white")
    pen = ImageDraw.Draw(row)
    for index, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        row.paste(Image.fromarray(panel), (index * (width + _GAP), 16))
        pen.text((index * (width + _GAP) + 2, 2), title, fill="black")
    return np.asarray(row)


def _colour(label: int, count: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(label / max(count, 1), 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
