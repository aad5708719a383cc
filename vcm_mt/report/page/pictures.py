"""Pictures, heat maps and detections, as values for the page's picture browser."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image

from vcm_mt.curves.rp import metric_title
from vcm_mt.report.page.data import (
    CELL,
    ROLES,
    Instance,
    Report,
    Sample,
    Version,
)

#: WebP's quality for all pictures of the page.
WEBP_QUALITY = 90
#: Palette entries for boxes and masks, bright enough to be seen on photographs.
TASK_COLOURS = (5, 6, 4, 3, 2)
_HEAT = colormaps["inferno"]

#: A codec and one of its receivers: a curve's name and the receiver's title.
Source = tuple[str, str]


def browser_data(report: Report) -> dict[str, Any]:
    """The data of the picture browser, as plain values for JSON.

    Every picture is in ``assets`` once, as a data URI; all else refers to it by its key.
    """
    assets: dict[str, str] = {}
    sources = _sources(report)
    samples = [_sample(sample, sources, assets) for sample in report.samples]
    roles = {curve.name: curve.role for curve in report.curves}
    levels = {curve.name: curve.quality_name for curve in report.curves}
    return {
        "assets": {key: uri for uri, key in assets.items()},
        "roles": ROLES,
        "sources": [
            {
                "title": " → ".join(filter(None, (report.curve(name).title, receiver))),
                "role": roles[name],
                "qualityName": levels[name],
            }
            for name, receiver in sources
        ],
        "tasks": _tasks(report.samples),
        "samples": samples,
        "cell": CELL,
        "heatColours": [to_hex(_HEAT(step / 8)) for step in range(9)],
    }


def webp(pixels: NDArray[np.uint8], quality: int = WEBP_QUALITY) -> str:
    """A picture, uint8 [H, W, 3], as a data URI."""
    return _uri(Image.fromarray(pixels), "webp", quality=quality, method=4)


def heat_map(bits: NDArray[np.floating], most: float) -> str:
    """Bits per latent position [h, w] as a data URI, a pixel per position.

    The colour goes with the square root of the bits, so that a low rate is seen beside a high one;
    the fewer bits, the more of the picture below is seen.
    """
    share = np.sqrt(np.clip(np.asarray(bits, dtype=np.float64) / max(most, 1e-9), 0, 1))
    colours = _HEAT(share)
    colours[..., 3] = 0.35 + 0.55 * share
    return _uri(Image.fromarray((255 * colours).round().astype(np.uint8)), "png", optimize=True)


def _uri(picture: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _kept(uri: str, assets: dict[str, str]) -> str:
    """The key under which a data URI is in the page; equal pictures share one."""
    return assets.setdefault(uri, f"p{len(assets)}")


def _sources(report: Report) -> list[Source]:
    """The codecs and receivers of all samples, in the order of the curves."""
    order = {curve.name: index for index, curve in enumerate(report.curves)}
    found = dict.fromkeys((v.curve, v.receiver) for s in report.samples for v in s.versions)
    return sorted(found, key=lambda source: order[source[0]])


def _tasks(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The truth, then every task; whether there are masks to show."""
    truth = [instance for sample in samples for instance in sample.truth]
    found: dict[str, list[Instance]] = {}
    for sample in samples:
        for one in (sample.found, *(version.found for version in sample.versions)):
            for task, instances in one.items():
                found.setdefault(task, []).extend(instances)
    layers: list[dict[str, Any]] = [
        {"name": "", "title": "truth", "colour": None, "masks": _masked(truth)}
    ]
    for index, (task, instances) in enumerate(found.items()):
        layers.append(
            {
                "name": task,
                "title": task_title(task),
                "colour": TASK_COLOURS[index % len(TASK_COLOURS)],
                "masks": _masked(instances),
            }
        )
    return layers


def task_title(task: str) -> str:
    """A task's name for readers."""
    return metric_title(f"{task}_mAP").split(" mAP")[0].removesuffix("_mAP")


def _masked(instances: Sequence[Instance]) -> bool:
    return any(instance.polygons for instance in instances)


def _sample(sample: Sample, sources: list[Source], assets: dict[str, str]) -> dict[str, Any]:
    height, width = sample.original.shape[:2]
    maps = [version.bits for version in sample.versions if version.bits is not None]
    most = max((float(np.max(bits)) for bits in maps), default=0.0)
    return {
        "name": sample.name,
        "width": width,
        "height": height,
        "original": _kept(webp(sample.original), assets),
        "truth": _instances(sample.truth),
        "found": _found(sample.found),
        "mostBits": most,
        "versions": [
            _version(version, sources, most, assets)
            for version in sorted(sample.versions, key=lambda version: version.bpp)
        ],
    }


def _version(
    version: Version, sources: list[Source], most: float, assets: dict[str, str]
) -> dict[str, Any]:
    heat = None
    if version.bits is not None:
        rows, columns = version.bits.shape
        heat = {
            "picture": _kept(heat_map(version.bits, most), assets),
            "rows": rows,
            "columns": columns,
            "bits": round(float(np.sum(version.bits))),
        }
    psnr = version.psnr
    return {
        "source": sources.index((version.curve, version.receiver)),
        "quality": version.quality,
        "bpp": version.bpp,
        "bytes": version.num_bytes,
        "psnr": psnr if psnr is not None and math.isfinite(psnr) else None,
        "picture": _kept(webp(version.pixels), assets),
        "found": _found(version.found),
        "heat": heat,
    }


def _found(found: Mapping[str, Sequence[Instance]]) -> dict[str, Any]:
    return {task: _instances(instances) for task, instances in found.items()}


def _instances(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    return [
        {
            "label": one.label,
            "score": None if one.score is None else round(float(one.score), 3),
            "box": [round(float(value), 1) for value in one.bbox],
            "rings": [[round(float(value), 1) for value in ring] for ring in one.polygons],
        }
        for one in instances
    ]
