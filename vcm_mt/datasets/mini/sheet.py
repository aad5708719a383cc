"""A contact sheet: a dozen pictures of a split with their boxes, masks and names."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pycocotools.coco import COCO


def contact_sheet(folder: Path, split: str, path: Path, rows: int = 3, columns: int = 4) -> None:
    """Draw the first ``rows * columns`` pictures of ``split`` with their annotations."""
    coco = COCO(folder / "annotations" / f"{split}.json")
    names = {c["id"]: c["name"].removeprefix("digit_") for c in coco.loadCats(coco.getCatIds())}
    tiles = []
    for image in coco.loadImgs(coco.getImgIds()[: rows * columns]):
        with Image.open(folder / split / image["file_name"]) as picture:
            pixels = np.asarray(picture, dtype=np.float32)
        things = coco.loadAnns(coco.getAnnIds(image["id"]))
        for thing in things:
            tint = 0.6 * pixels + 0.4 * np.array(_colour(thing["category_id"], len(names)))
            pixels = np.where(coco.annToMask(thing)[..., None] > 0, tint, pixels)
        tile = Image.fromarray(pixels.astype(np.uint8))
        pen = ImageDraw.Draw(tile)
        for thing in things:
            x, y, w, h = thing["bbox"]
            colour = _colour(thing["category_id"], len(names))
            pen.rectangle((x, y, x + w - 1, y + h - 1), outline=colour)
            pen.text((x + 2, y), names[thing["category_id"]], fill=colour)
        tiles.append(tile)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width, index // columns * height))
    sheet.save(path)


def _colour(category: int, count: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(category / count, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
