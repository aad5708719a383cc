"""Videos as values for the page's player.

A film is one picture with all frames in rows, which a script draws one by one: every browser shows
any frame of several films at the same moment, where videos would have to be kept in step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcm_mt.report.page.data import Film, FilmVersion, Instance, Report
from vcm_mt.report.page.pictures import TASK_COLOURS, task_title, webp

#: WebP's quality for frames, of which there are many.
FILM_QUALITY = 80


def film_data(report: Report) -> dict[str, Any]:
    """The data of the player, as plain values for JSON."""
    tasks = dict.fromkeys(
        task
        for film in report.films
        for found in (film.found, *(version.found for version in film.versions))
        for task in found
    )
    return {
        "tasks": [
            {"name": task, "title": task_title(task), "colour": TASK_COLOURS[n % len(TASK_COLOURS)]}
            for n, task in enumerate(tasks)
        ],
        "films": [_film(film, report) for film in report.films],
    }


def sheet(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames uint8 [T, h, w, 3] in rows of :func:`columns`, black after the last."""
    count, height, width, _ = frames.shape
    across = columns(count)
    empty = -count % across
    full = np.pad(frames, ((0, empty), (0, 0), (0, 0), (0, 0)))
    rows = full.reshape(-1, across, height, width, 3).swapaxes(1, 2)
    return rows.reshape(-1, across * width, 3)


def columns(count: int) -> int:
    """How many frames stand in a row."""
    return math.ceil(math.sqrt(count))


def _film(film: Film, report: Report) -> dict[str, Any]:
    count, tile_height, tile_width, _ = film.original.shape
    height, width = film.size
    first = {"title": "original", "bytes": None, "found": _found(film.found)}
    return {
        "name": film.name,
        "width": width,
        "height": height,
        "tile": [tile_width, tile_height],
        "frames": count,
        "columns": columns(count),
        "fps": film.fps,
        "truth": [_boxes(frame) for frame in film.truth],
        "versions": [
            first | {"picture": webp(sheet(film.original), FILM_QUALITY)},
            *(_version(version, report) for version in film.versions),
        ],
    }


def _version(version: FilmVersion, report: Report) -> dict[str, Any]:
    curve = report.curve(version.curve)
    return {
        "title": curve.title,
        "level": f"{curve.quality_name} {version.quality:g}",
        "bytes": version.num_bytes,
        "bpp": version.bpp,
        "psnr": version.psnr if math.isfinite(version.psnr) else None,
        "sizes": list(version.sizes),
        "keys": [bool(key) for key in version.keys],
        "found": _found(version.found),
        "picture": webp(sheet(version.frames), FILM_QUALITY),
    }


def _found(found: Mapping[str, Sequence[Sequence[Instance]]]) -> dict[str, Any]:
    return {task: [_boxes(frame) for frame in frames] for task, frames in found.items()}


def _boxes(frame: Sequence[Instance]) -> list[dict[str, Any]]:
    return [
        {
            "label": one.label,
            "track": one.track,
            "box": [round(float(value), 1) for value in one.bbox],
        }
        for one in frame
    ]
