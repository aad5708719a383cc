"""A report of hostile names and real photographs, for the tests of the page."""

import io
import warnings
from dataclasses import replace

import numpy as np
from PIL import Image

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.rp import RPPoint
from vcm_mt.datasets.mini.videos import video
from vcm_mt.report.page import (
    Film,
    FilmVersion,
    Instance,
    RateRow,
    Report,
    ReportCurve,
    Sample,
    Version,
)

HOSTILE = "</script><img src=x onerror=alert(1)> & %{x} {{ 7 * 7 }}"
# Padded to 256 x 320: 16 x 20 latent positions.
HEIGHT, WIDTH = 200, 272


def points(factor, estimated, **scores):
    return [
        RPPoint(
            quality,
            factor * 0.05 * 2**step,
            factor * 0.049 * 2**step if estimated else None,
            {metric: values[step] for metric, values in scores.items()},
        )
        for step, quality in enumerate((1, 2, 3, 4) if estimated else (47, 42, 37, 32))
    ]


def curves():
    det, segm = (20.0, 28.0, 34.0, 37.5), (15.0, 22.0, 28.0, 31.0)
    psnr = (27.1, 29.5, 31.8, 34.0)
    return [
        ReportCurve("s1", HOSTILE, "ours", points(1.0, True, det_mAP=det, segm_mAP=segm)),
        ReportCurve("s2", "stage 2", "ours", points(1.2, True, det_mAP=det, psnr=psnr)),
        ReportCurve(
            "vvc",
            "VVC (VVenC)",
            "anchor",
            points(2.0, False, det_mAP=det, segm_mAP=segm, psnr=psnr),
            "VVenC 1.12, -preset medium",
            "QP",
        ),
        ReportCurve("mse", "MSE", "learned", points(3.0, True, det_mAP=det), visible=False),
    ]


def rates():
    named = {curve.name: curve.points for curve in curves()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            (name, metric): bd_rate(named["vvc"], named[name], metric)
            for name, metric in (("s2", "det_mAP"), ("s1", "det_mAP"), ("s1", "segm_mAP"))
        }
    rows = [RateRow(name, "vvc", bd) for (name, _), bd in found.items()]
    rows[1] = replace(rows[1], bd=replace(rows[1].bd, bootstrap=(-54.3, -45.6)))
    rows[2] = replace(rows[2], bd=replace(rows[2].bd, warnings=("thin: " + HOSTILE,)))
    return [*rows, RateRow("s2", "mse", bd_rate(named["mse"], named["s2"], "det_mAP"))]


def coded(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file)), len(file.getvalue())


TRUTH = Instance(HOSTILE, None, (40, 50, 120, 110), [[40, 50, 120, 50, 120, 110, 40, 110]])


def sample(name, photograph, corner):
    pixels = photograph[corner : corner + HEIGHT, corner : corner + WIDTH]
    bits = np.zeros((16, 20))
    bits[:12, :17] = np.random.default_rng(0).gamma(2, 10, (12, 17))
    versions = []
    for curve in curves():
        if curve.name == "mse":
            continue
        for step, point in enumerate(curve.points):
            decoded, num_bytes = coded(pixels, 5 + 20 * step + (curve.role == "anchor"))
            found = [
                replace(TRUTH, label="cat", score=0.9, bbox=(42, 52, 118, 111), polygons=()),
                Instance("dog", 0.3 + 0.05 * step, (150, 20, 200, 80)),
            ]
            versions.append(
                Version(
                    curve.name,
                    point.quality,
                    "receiver " + HOSTILE if curve.name == "s2" else "",
                    8 * num_bytes / (HEIGHT * WIDTH),
                    num_bytes,
                    30.0 + step,
                    decoded,
                    {"det": found, "segm": [replace(found[0], polygons=TRUTH.polygons)]},
                    None if curve.role == "anchor" else bits * (1 + step),
                )
            )
    return Sample(name, pixels, [TRUTH], versions, {"det": [replace(TRUTH, score=0.99)]})


#: Frames of a film; the last row of their sheet is not full.
FRAMES = 7


def film(name, number):
    """A video of the embedded set; its tracks were found, moved by two pixels."""
    made = list(video(0, "val", number, FRAMES))
    original = np.stack([frame.picture for frame in made])
    truth = [[_tracked(one, None, 0) for one in frame.objects] for frame in made]
    found = [[_tracked(one, 0.9, 2) for one in frame.objects] for frame in made]
    versions = []
    for curve, quality in (("s1", 1), ("s2", 1), ("vvc", 47)):
        frames, sizes = zip(*(coded(frame, 12 + quality) for frame in original), strict=True)
        known = curve != "vvc"
        versions.append(
            FilmVersion(
                curve,
                quality,
                sum(sizes),
                8 * sum(sizes) / original[..., 0].size,
                28.0,
                np.stack(frames),
                {"track": found, "det": [[replace(o, track=None) for o in f] for f in found]},
                [size // (1 if n % 5 == 0 else 3) for n, size in enumerate(sizes)] if known else [],
                [n % 5 == 0 or curve == "s1" for n in range(FRAMES)] if known else [],
            )
        )
    return Film(name, original.shape[1:3], original, truth, versions, {"track": found})


def _tracked(one, score, moved):
    down, right = (axis.tolist() for axis in np.nonzero(one.mask))
    box = (min(right), min(down), max(right) + 1, max(down) + 1)
    return Instance("digit", score, tuple(v + moved for v in box), (), one.instance)


def film_report():
    films = [film("0000_still", 0), film(HOSTILE, 2)]
    return Report("Films", "", {}, curves(), films=films)
