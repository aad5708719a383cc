"""R-P points with per-picture data in a compact file: columns of integers in a NumPy archive.

The archive (``.npz``) holds ``points.json``, which is ``rp_points.json`` with the lengths of each
point's columns in place of its pictures, and one array per column, which concatenates the points.
Rates and average precision, resampled or not, equal those of the JSON file to the last bit. PSNR
and MS-SSIM of a picture are rounded to 1/65,534 of their range over the point's pictures.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from zipfile import ZIP_BZIP2, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from vcm_mt.curves.counts import Counts
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.rp import Pictures
from vcm_mt.curves.voc import matches_of
from vcm_mt.errors import MeasurementError

_CONTENT = "points.json"
_BYTES = ("num_pixels", "num_bytes", "header_bytes")
_KINDS: dict[str, Any] = {
    **dict.fromkeys(_BYTES, np.uint32),
    "fidelity": np.uint16,
    "objects": np.uint16,
    "detections": np.uint32,  # of each category
    **dict.fromkeys(("pictures", "hits", "ignored"), np.uint16),
}
#: What reading damaged bytes raises.
_DAMAGED = (
    *(ValueError, KeyError, TypeError, AttributeError),
    *(OSError, EOFError, BadZipFile, NotImplementedError),
)
#: Stands for NaN among the 16-bit levels of a score.
_NONE = 65535


def packed(content: Mapping[str, Any], pictures: Sequence[Pictures | None]) -> bytes:
    """Pack points into an archive.

    Args:
        content: The file as plain values for JSON, without pictures.
        pictures: The pictures of all points, in the points' order.

    Raises:
        MeasurementError: A count does not fit its column, as of more than 65,535 pictures.
    """
    columns = _Columns()
    layout = [None if one is None else _add(one, columns) for one in pictures]
    files = {_CONTENT: json.dumps({**content, "pictures": layout}).encode(), **columns.files()}
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, data in files.items():  # ZipInfo has a fixed date: equal points, equal bytes
            archive.writestr(ZipInfo(name), data, compress_type=ZIP_BZIP2)
    return buffer.getvalue()


def unpacked(data: bytes) -> tuple[dict[str, Any], list[Pictures | None]]:
    """The inverse of :func:`packed`.

    Raises:
        MeasurementError: When it is no such archive, or a damaged one.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            content = json.loads(archive[_CONTENT])
            columns = _Columns({name: archive[name] for name in _KINDS})
        layout = content.pop("pictures")
        return content, [None if one is None else _take(one, columns) for one in layout]
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
        BadZipFile,
    ) as error:
        raise MeasurementError(f"no R-P points, or damaged ones: {error!r}") from error


class _Columns:
    """Columns, written part by part or read part by part.

    Args:
        arrays: The columns to read.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _KINDS}
        self._arrays = arrays or {}
        self._at = dict.fromkeys(_KINDS, 0)

    def add(self, name: str, part: NDArray[Any]) -> None:
        limits = np.iinfo(_KINDS[name])
        if part.size and not limits.min <= part.min() <= part.max() <= limits.max:
            raise MeasurementError(
                f"{name} of {part.max()} does not fit {limits.bits} bits: save a .json file"
            )
        self._parts[name].append(part.astype(_KINDS[name]).ravel())

    def take(self, name: str, count: int) -> NDArray[Any]:
        first = self._at[name]
        part = self._arrays[name][first : first + count]
        if len(part) != count:
            raise ValueError(f"the column {name} is too short")
        self._at[name] += count
        return part

    def files(self) -> dict[str, bytes]:
        files = {}
        for name, kind in _KINDS.items():
            file = io.BytesIO()
            np.save(file, np.concatenate([np.zeros(0, kind), *self._parts[name]]))
            files[f"{name}.npy"] = file.getvalue()
        return files


def _add(pictures: Pictures, columns: _Columns) -> dict[str, Any]:
    """Append a point's pictures and return what :func:`_take` needs to read them."""
    for name in _BYTES:
        columns.add(name, getattr(pictures, name))
    return {
        "count": len(pictures.num_pixels),
        "fidelity": {n: _add_score(v, columns) for n, v in pictures.fidelity.items()},
        "matches": {
            n: _add_matches(m.reduced(), columns)
            for n, m in pictures.matches.items()
            if isinstance(m, Matches)
        },
        "tracks": {n: m.to_text() for n, m in pictures.matches.items() if isinstance(m, Counts)},
    }


def _take(layout: Mapping[str, Any], columns: _Columns) -> Pictures:
    count = layout["count"]
    return Pictures(
        **{name: columns.take(name, count).astype(np.int64) for name in _BYTES},
        fidelity={n: _take_score(span, columns, count) for n, span in layout["fidelity"].items()},
        matches={n: _take_matches(n, k, columns, count) for n, k in layout["matches"].items()}
        | {n: Counts.from_text(text) for n, text in layout.get("tracks", {}).items()},
    )


def _add_score(values: NDArray[np.float64], columns: _Columns) -> list[float]:
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    step = (high - low) / (_NONE - 1) or 1.0
    levels = np.where(np.isnan(values), _NONE, np.round((np.nan_to_num(values) - low) / step))
    columns.add("fidelity", levels)
    return [low, step]


def _take_score(span: Sequence[float], columns: _Columns, count: int) -> NDArray[np.float64]:
    low, step = span
    levels = columns.take("fidelity", count)
    return np.where(levels == _NONE, np.nan, low + step * levels.astype(np.float64))


def _add_matches(matches: Matches, columns: _Columns) -> int:
    """Append matches and return the number of their categories."""
    columns.add("objects", matches.objects)
    columns.add("detections", np.diff(matches.begins))
    for name in ("pictures", "hits", "ignored"):
        columns.add(name, getattr(matches, name))
    return len(matches.objects)


def _take_matches(metric: str, categories: int, columns: _Columns, count: int) -> Matches:
    objects = columns.take("objects", categories * count).reshape(categories, count)
    detections = columns.take("detections", categories).astype(np.int64)
    total = int(detections.sum())
    return matches_of(metric)(
        objects.astype(np.int32),
        np.concatenate([[0], np.cumsum(detections)]),
        columns.take("pictures", total).astype(np.int32),
        columns.take("hits", total),
        columns.take("ignored", total),
    )
