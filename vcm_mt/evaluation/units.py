"""What is measured as a whole: a picture, or all frames of a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from torch import Tensor

from vcm_mt.structures import Sent


class Frame(NamedTuple):
    """A test picture that was sent.

    Attributes:
        number: Of the picture.
        original: float [1, 3, H, W] in [0, 1].
        sent: Each receiver's picture and the bytes spent.
        sample: Its data sample.
    """

    number: int
    original: Tensor
    sent: dict[str, Sent]
    sample: Any


def units_of(videos: Sequence[Any]) -> list[list[int]]:
    """Consecutive pictures of one video together; a picture of none by itself."""
    units: list[list[int]] = []
    for index, video in enumerate(videos):
        if video is not None and index and video == videos[index - 1]:
            units[-1].append(index)
        else:
            units.append([index])
    return units


def joined(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The entries of a unit's frames, seen by one receiver, as one."""
    (receiver,) = entries[0]["receivers"]
    own = [entry["receivers"][receiver] for entry in entries]
    sums = ("num_bytes", "header_bytes", "bits_estimated", "num_pixels")
    return {
        **{name: _over(sum, [entry[name] for entry in entries]) for name in sums},
        "receivers": {
            receiver: {
                **{name: _over(fmean, [one[name] for one in own]) for name in ("psnr", "ms_ssim")},
                "found": {
                    task: [find for one in own for find in one["found"][task]]
                    for task in own[0]["found"]
                },
            }
        },
    }


def _over(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    """A sum or mean of what there is; ``None`` where nothing is."""
    known = [value for value in values if value is not None]
    return function(known) if known else None
