"""Curves and BD-rates as MPEG reports them: by sequence, by class, and in all.

Coding for machines (VCM) takes six points a sequence, fits a rising cubic to each curve, and
averages the sequences' BD-rates. Feature coding (FCM) takes four, and pools a class: its scores are
those of all its sequences together, its rate is their mean weighted by duration. Both are computed
from points whose units are the sequences, or pictures.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from vcm_mt.curves.bd_rate import BDRate, bd_rate
from vcm_mt.curves.csv_file import PER_KBPS
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.errors import MeasurementError

#: What a report calls the mean over all sequences, or classes.
OVERALL = "overall"
#: Columns of MPEG's reporting template that this package fills, with the rate in either unit.
_SCORE = "end_accuracy"
_RATES = {True: "bitrate (kbps)", False: "avg_bpp"}


class Unit(NamedTuple):
    """A sequence, or a set of pictures, of the test conditions.

    Attributes:
        name: As ``BQTerrace``.
        group: Its class, as ``B``.
        members: Its units' numbers in the points' pictures: one of a video, all of a set.
        seconds: Its duration; ``None`` for pictures, whose rate is in bits per pixel.
    """

    name: str
    group: str
    members: tuple[int, ...]
    seconds: float | None = None


#: The points of each sequence, or class, by its name.
Curves = dict[str, list[RPPoint]]


def by_sequence(
    points: Sequence[RPPoint],
    units: Sequence[Unit],
    metric: str,
    qps: Mapping[str, Sequence[float]] | None = None,
) -> Curves:
    """A curve per sequence.

    Args:
        points: Measured on all of them at once, with their pictures.
        units: The sequences.
        metric: The score; ``NAME_AP50`` is computed of the matches of ``NAME_mAP``.
        qps: What each sequence was coded at, by its name, in the order of the points; by default
            the points' own quality.

    Raises:
        MeasurementError: When a point does not know its pictures, or this metric.
    """
    return {
        unit.name: [
            _measured(point, [unit], metric, (qps or {}).get(unit.name, [])[number : number + 1])
            for number, point in enumerate(points)
        ]
        for unit in units
    }


def by_class(points: Sequence[RPPoint], units: Sequence[Unit], metric: str) -> Curves:
    """A curve per class, pooled as FCM has it; arguments as for :func:`by_sequence`."""
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.group, []).append(unit)
    return {
        name: [_measured(point, own, metric, [number]) for number, point in enumerate(points)]
        for name, own in groups.items()
    }


def _measured(
    point: RPPoint, units: Sequence[Unit], metric: str, quality: Sequence[float]
) -> RPPoint:
    """The point of some sequences together."""
    pictures = point.pictures
    if pictures is None:
        raise MeasurementError(f"the point at quality {point.quality:g} does not know its pictures")
    members = [number for unit in units for number in unit.members]
    weights = np.zeros((1, len(pictures.num_bytes)))
    weights[0, members] = 1
    rate, name = float(pictures.bpp(weights)[0]), metric
    if all(unit.seconds is not None for unit in units):
        seconds = sum(unit.seconds or 0 for unit in units)
        rate, name = (
            float(8 * pictures.num_bytes[members].sum() / seconds / 1000),
            metric + PER_KBPS,
        )
    score = float(_scored(pictures, metric, weights)[0])
    return RPPoint(quality[0] if len(quality) else point.quality, rate, metrics={name: score})


def _scored(pictures: Pictures, metric: str, weights: Any) -> Any:
    task, _, kind = metric.rpartition("_")
    matches: Any = pictures.matches.get(f"{task}_mAP" if kind == "AP50" else metric)
    if matches is None:
        raise MeasurementError(
            f"no {metric} of a sequence: points have {', '.join(sorted(pictures.matches))}"
        )
    return (matches.at(0) if kind == "AP50" else matches).score(weights)


@dataclass(frozen=True)
class Report:
    """BD-rates of a set of test conditions.

    Attributes:
        rates: By sequence, or class, and method: ``MPEG`` and ``pchip``; None where there is none.
        means: By class, and :data:`OVERALL`, likewise, over those that have a figure.
        remarks: Why a figure is missing or limited, a sentence each.
    """

    rates: dict[str, dict[str, float | None]]
    means: dict[str, dict[str, float | None]]
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        return {"rates": self.rates, "means": self.means, "remarks": list(self.remarks)}

    def to_markdown(self) -> str:
        """A table of all figures, the means last."""
        methods = list(next(iter(self.means.values())))
        rows = [
            [name, *("\N{EN DASH}" if one[m] is None else f"{one[m]:+.2f} %" for m in methods)]
            for name, one in (*self.rates.items(), *(
                (f"mean, {name}", one) for name, one in self.means.items()
            ))
        ]  # fmt: skip
        return markdown_table(["sequence", *(f"BD-rate by {m}" for m in methods)], rows)


def compare(
    anchor: Mapping[str, Sequence[RPPoint]],
    test: Mapping[str, Sequence[RPPoint]],
    groups: Mapping[str, str] | None = None,
) -> Report:
    """BD-rates of curves against those of the same names, and their means.

    Args:
        anchor: By sequence or class, of one score each.
        test: Likewise.
        groups: The class of each sequence; by default there is no mean of classes.

    Raises:
        MeasurementError: When the two have no name in common.
    """
    names = [name for name in anchor if name in test]
    if not names:
        raise MeasurementError(
            f"the anchor has {', '.join(anchor)}, and the other file {', '.join(test)}: none of "
            "them is in both"
        )
    rates: dict[str, dict[str, float | None]] = {}
    remarks = [f"{name} is in one of the two alone" for name in sorted({*anchor} ^ {*test})]
    for name in names:
        rates[name], own = _both(anchor[name], test[name])
        remarks += [f"{name}: {remark}" for remark in own]
    means = {OVERALL: _means(rates.values())}
    if groups:
        classes = dict.fromkeys(groups[name] for name in names)
        own_means = {
            group: _means(rates[name] for name in names if groups[name] == group)
            for group in classes
        }
        means = own_means | means
    return Report(rates, means, tuple(remarks))


def _both(
    anchor: Sequence[RPPoint], test: Sequence[RPPoint]
) -> tuple[dict[str, float | None], list[str]]:
    """The BD-rate by MPEG's fit and by PCHIP over the points, and what is to be said."""
    (metric,) = set.intersection(*(set(point.metrics) for point in (*anchor, *test)))
    found: dict[str, float | None] = {}
    remarks: dict[str, None] = {}
    for method, monotone in (("MPEG", "mpeg"), ("pchip", None)):
        rate = _rate(anchor, test, metric, monotone)
        found[method] = rate.value if isinstance(rate, BDRate) else None
        told = rate.warnings if isinstance(rate, BDRate) else (rate,)
        remarks |= dict.fromkeys(f"{method}: {one}" for one in told)
    return found, list(remarks)


def _rate(
    anchor: Sequence[RPPoint], test: Sequence[RPPoint], metric: str, monotone: str | None
) -> BDRate | str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the result holds them
        try:
            return bd_rate(anchor, test, metric, monotone=monotone)
        except MeasurementError as error:
            return str(error)


def _means(rates: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    found = list(rates)
    methods = found[0].keys()
    own = {m: [one[m] for one in found if one[m] is not None] for m in methods}
    return {m: fmean(v for v in own[m] if v is not None) if own[m] else None for m in methods}


def to_template(curves: Mapping[str, Sequence[RPPoint]]) -> str:
    """Curves as a table to be pasted into MPEG's reporting template.

    Columns are those that CompressAI-Vision writes for it: a number, ``Dataset``, ``qp``, the rate
    (``bitrate (kbps)`` of sequences, ``avg_bpp`` of pictures), ``end_accuracy``; the highest rate
    of each comes first. :func:`vcm_mt.curves.csv_file.read_csv` reads it.
    """
    rows = [
        (name, point)
        for name, points in curves.items()
        for point in sorted(points, key=lambda point: -point.bpp)
    ]
    timed = any(metric.endswith(PER_KBPS) for _, point in rows for metric in point.metrics)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["", "Dataset", "qp", _RATES[timed], _SCORE])
    for number, (name, point) in enumerate(rows):
        (score,) = point.metrics.values()
        table.writerow([number, name, f"{point.quality:g}", point.bpp, score])
    return text.getvalue()


def zero_for_none(curves: Mapping[str, Sequence[RPPoint]]) -> Curves:
    """Curves with a score of 0 where there is none, as MPEG's evaluation takes it."""
    return {
        name: [
            replace(point, metrics={m: 0.0 if np.isnan(v) else v for m, v in point.metrics.items()})
            for point in points
        ]
        for name, points in curves.items()
    }
