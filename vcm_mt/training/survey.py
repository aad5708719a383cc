"""Survey of a data set: numbers, sizes, and whether a sample of the pictures can be read."""

from __future__ import annotations

from typing import Any, NamedTuple

from vcm_mt.errors import ConfigError, VCMError

#: Number of pictures that are read.
SAMPLE = 32


class Survey(NamedTuple):
    """The pictures of one split.

    Attributes:
        split: ``train`` or ``val``.
        pictures: Number of pictures.
        objects: Number of annotated objects.
        largest: Indexes of the pictures with the orientation of the largest one, by falling area.
            The first of them make the largest possible batch.
        size: Width and height of the largest picture in pixels.
        read: Number of pictures that were loaded through the pipeline.
        broken: Errors of the pictures that cannot be trained on.
    """

    split: str
    pictures: int
    objects: int
    largest: list[int]
    size: tuple[int, int]
    read: int
    broken: list[str]


def survey(split: str, dataset: Any) -> Survey:
    """Read all annotations of a data set, and an evenly spaced sample of its pictures.

    Raises:
        ConfigError: If its elements are whole videos, or persons.
    """
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    if infos and "width" not in infos[0]:
        raise ConfigError(
            f"{type(dataset).__name__} tells no sizes of pictures, as it holds whole videos or "
            "persons, which a dry run does not look at: train some steps instead, with "
            "--cfg-options train_cfg.max_iters=10"
        )
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
