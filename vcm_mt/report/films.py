"""Stored videos as the page's films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vcm_mt.curves.rp_file import RPFile
from vcm_mt.evaluation.videos import FPS
from vcm_mt.report.instances import best, instance, named
from vcm_mt.report.page import Film, FilmVersion, Instance
from vcm_mt.report.stored_films import Shown, read_films

#: Fewest score of a find that is drawn over a film.
_SCORE = 0.4


def films_of(folder: Path, found: RPFile) -> list[Film]:
    """The videos in a folder, in the versions of an experiment's curves."""
    films = []
    for truth, versions in read_films(folder):
        classes, size = named(truth["classes"]), truth["size"]
        (first, original), *others = versions
        task, objects = next(iter(truth["objects"].items()))
        films.append(
            Film(
                truth["name"],
                (size[0], size[1]),
                original,
                [[instance(one, classes[task], size) for one in frame] for frame in objects],
                [
                    _version(shown, frames, classes, size)
                    for shown, frames in sorted(others, key=lambda one: _place(one[0], found))
                    if shown.curve in found.curves
                ],
                _finds(first, classes, size),
                FPS[0] / FPS[1],
            )
        )
    return films


def _place(shown: Shown, found: RPFile) -> tuple[int, float]:
    names = [*found.curves]
    return (names.index(shown.curve) if shown.curve in names else 0, shown.quality)


def _version(
    shown: Shown, frames: Any, classes: Mapping[str, Mapping[int, str]], size: Sequence[int]
) -> FilmVersion:
    return FilmVersion(
        shown.curve,
        shown.quality,
        shown.num_bytes,
        8 * shown.num_bytes / (shown.pictures * size[0] * size[1]),
        shown.psnr,
        frames,
        _finds(shown, classes, size),
        shown.sizes,
        shown.keys,
    )


def _finds(
    shown: Shown, classes: Mapping[str, Mapping[int, str]], size: Sequence[int]
) -> dict[str, list[list[Instance]]]:
    """What tasks that find boxes found, a list for each frame."""
    return {
        task: [[instance(one, classes[task], size) for one in best(f, _SCORE)] for f in frames]
        for task, frames in shown.found.items()
        if any(frames)
    }
