"""BD-rates of curves in files against one anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from vcm_mt.curves.bd_rate import BDRate, bd_rate
from vcm_mt.curves.bootstrap import RESAMPLES, Bootstrap
from vcm_mt.curves.mpeg import Report, compare
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.rp_file import RPFile, load_points, split_name
from vcm_mt.errors import MeasurementError


def chosen_curves(sources: Sequence[str], anchor: str) -> dict[str, list[RPPoint]]:
    """The curves under test by name.

    Args:
        sources: ``FILE`` for all of its curves but the anchor itself, or ``FILE:CURVE``.
        anchor: ``FILE:CURVE``.

    Raises:
        MeasurementError: When a file or curve does not exist or is damaged.
    """
    curves: dict[str, list[RPPoint]] = {}
    for source in sources:
        file, name = split_name(source)
        held = RPFile.load(file)
        for curve in held.curves if name is None else [name]:
            if name is None and (file, curve) == split_name(anchor):
                continue
            key = f"{file}:{curve}" if curve in curves else str(curve)
            curves[key] = held.points(curve)
    return curves


def rates_of_files(
    anchor: str,
    tests: Sequence[str],
    metrics: Sequence[str] | None = None,
    method: str = "pchip",
    monotone: str | None = None,
    resamples: int = RESAMPLES,
    warn: Callable[[str], None] = print,
) -> dict[str, list[BDRate]]:
    """BD-rates by curve.

    Args:
        anchor: ``FILE:CURVE``.
        tests: See :func:`chosen_curves`.
        metrics: By default all that both curves have; those without a BD-rate are left out.
        method: See :func:`vcm_mt.curves.bd_rate.bd_rate`, as for the next one.
        monotone: What is done with curves that do not rise.
        resamples: Draws of the bootstrap intervals, 0 for none.
        warn: Takes a line for each figure or interval that is left out.

    Raises:
        MeasurementError: When a curve cannot be read, or has no BD-rate in one of ``metrics``.
    """
    reference = list(load_points(anchor))
    rates: dict[str, list[BDRate]] = {}
    for name, points in chosen_curves(tests, anchor).items():
        if not reference or not points:
            raise MeasurementError(f"{name if reference else anchor} has no points")
        bootstrap = _bootstrap(name, [*reference, *points], resamples, warn)
        rate = partial(
            bd_rate, reference, points, method=method, monotone=monotone, bootstrap=bootstrap
        )
        of_curve = list(_rates(name, rate, metrics, [*reference, *points], warn))
        if of_curve:
            rates[name] = of_curve
    return rates


def report_of_files(anchor: str, test: str, metrics: Sequence[str] | None = None) -> Report:
    """BD-rates of a file's curves against another's of the same names, as MPEG reports them.

    Args:
        anchor: ``FILE``.
        test: ``FILE``.
        metrics: The score; it may be left out where all points have one in common.

    Raises:
        MeasurementError: When a file can't be read, or its points have several scores.
    """
    curves = [
        {name: curve.points for name, curve in RPFile.load(file).curves.items()}
        for file in (anchor, test)
    ]
    points = [point for file in curves for own in file.values() for point in own]
    known = set.intersection(*(set(point.metrics) for point in points))
    wanted = set(metrics) & known if metrics else known
    if len(wanted) != 1:
        raise MeasurementError(f"name one score with --metric: the points have {sorted(known)}")
    (metric,) = wanted
    first, second = (
        {n: [replace(p, metrics={metric: p.metrics[metric]}) for p in own] for n, own in f.items()}
        for f in curves
    )
    return compare(first, second)


def _bootstrap(
    name: str, points: Sequence[RPPoint], resamples: int, warn: Callable[[str], None]
) -> Bootstrap | None:
    """Draws of the pictures that all points were measured on, or ``None``."""
    counts = {len(point.pictures.num_bytes) for point in points if point.pictures}
    if len(counts) > 1:
        warn(
            f"warning: {name} and the anchor were measured on {sorted(counts)} pictures: "
            "there is no interval"
        )
    return Bootstrap(counts.pop(), resamples) if resamples and len(counts) == 1 else None


def _rates(
    name: str,
    rate: Callable[[str], BDRate],
    metrics: Sequence[str] | None,
    points: Sequence[RPPoint],
    warn: Callable[[str], None],
) -> Iterator[BDRate]:
    for metric in metrics or sorted(set.intersection(*(set(p.metrics) for p in points))):
        try:
            yield rate(metric)
        except MeasurementError as error:
            if metrics:
                raise MeasurementError(f"{name}, {metric}: {error}") from error
            warn(f"no BD-rate of {name} in {metric}: {error}")
