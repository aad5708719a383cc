"""A data set at a glance: how much, how large, and whether a sample of it can be read."""

from __future__ import annotations

from typing import Any, NamedTuple

from vcm_mt.errors import VCMError

#: How many pictures are read.
SAMPLE = 32


class Survey(NamedTuple):
    """One split's pictures.

    Attributes:
        split: ``train`` or ``val``.
        pictures: How many there are.
        objects: How many annotated objects.
        largest: Indexes of the pictures in the largest one's orientation, by falling area: what
            a batch may hold at most.
        size: Width and height of the largest one in pixels.
        read: How many were loaded through the pipeline.
        broken: What is wrong with those that cannot be trained on.
    """

    split: str
    pictures: int
    objects: int
    largest: list[int]
    size: tuple[int, int]
    read: int
    broken: list[str]


def survey(split: str, dataset: Any) -> Survey:
    """Look at all annotations of a data set and at a sample of its pictures, evenly spaced."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    sizes = [(int(info["width"]), int(info["height"])) for info in infos]
    by_area = sorted(range(len(sizes)), key=lambda n: sizes[n][0] * sizes[n][1], reverse=True)
    width, height = sizes[by_area[0]]
    alike = [n for n in by_area if (sizes[n][0] < sizes[n][1]) == (width < height)]
    sample = range(0, len(dataset), -(-len(dataset) // SAMPLE))
    broken = [told for n in sample if (told := _broken(dataset, n))]
    objects = sum(len(info.get("instances", ())) for info in infos)
    return Survey(split, len(infos), objects, alike, (width, height), len(sample), broken)


def _broken(dataset: Any, index: int) -> str:
    try:
        dataset[index]
    except VCMError as error:
        return str(error)
    return ""
