"""The JSON that CompressAI's ``eval_model`` and ``bench`` write, one curve a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vcm_mt.curves.csv_file import PER_KBPS
from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import MeasurementError

#: CompressAI's names of scores that are also ours; others keep theirs.
_SCORES = {"psnr-rgb": "psnr", "psnr": "psnr", "ms-ssim-rgb": "ms_ssim", "ms-ssim": "ms_ssim"}
_QUALITIES = ("quality", "qp", "q")
#: Columns in which more is not better.
_NO_SCORES = ("bpp", "bitrate", *_QUALITIES, "encoding_time", "decoding_time")


def compressai_points(content: Mapping[str, Any]) -> list[RPPoint]:
    """The points of a result: ``results`` holds a list of figures for ``bpp`` and for each score.

    ``psnr-rgb`` and ``ms-ssim-rgb``, and their older names without ``-rgb``, become ``psnr`` and
    ``ms_ssim``. Results for video have ``bitrate`` in kbit/s, for which ``@kbps`` is added to the
    scores' names.

    Raises:
        MeasurementError: When a list is absent, of another length, or holds no numbers.
    """
    results = content["results"]
    rate = next((name for name in ("bpp", "bitrate") if name in results), None)
    if rate is None:
        raise MeasurementError(f"results have no `bpp`, but {sorted(results)}")
    try:
        columns = {name: [float(value) for value in column] for name, column in results.items()}
    except (TypeError, ValueError) as error:
        raise MeasurementError(f"results must hold lists of numbers: {error}") from error
    if len({len(column) for column in columns.values()}) != 1:
        counts = {name: len(column) for name, column in columns.items()}
        raise MeasurementError(f"the lists of results differ in length: {counts}")
    rates = columns[rate]
    qualities = next((columns[name] for name in _QUALITIES if name in columns), None)
    scores = {
        _SCORES.get(name, name) + (PER_KBPS if rate == "bitrate" else ""): column
        for name, column in columns.items()
        if name not in _NO_SCORES and not name.startswith("mse")
    }
    return [
        RPPoint(
            qualities[at] if qualities else at + 1,
            rates[at],
            metrics={name: column[at] for name, column in scores.items()},
        )
        for at in range(len(rates))
    ]
