"""Write an experiment's results into a folder: points, BD-rates, tables and plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vcm_mt.curves.bootstrap import Bootstrap
from vcm_mt.curves.compare import Rates, bd_rates
from vcm_mt.curves.rp import RPPoint, finite, metric_title, sort_points, task_of
from vcm_mt.curves.rp_file import ANCHOR, LEARNED, OURS, RPFile
from vcm_mt.curves.table import rp_table_markdown
from vcm_mt.files import check_output, write_atomically
from vcm_mt.report.plot import COLOURS, plot_rp_curves

POINTS, COMPACT, TABLE, RATES = "rp_points.json", "rp_points.npz", "rp_table.md", "bd_rate.json"
SUMMARY, PLOT = "results.json", "rp_curve.png"


def write_results(found: RPFile, folder: Path, resamples: int = 0) -> tuple[str, Rates]:
    """Write the points, ``bd_rate.json``, ``rp_table.md`` and the plots.

    ``rp_points.json`` holds all there is of the points, ``.csv`` their rates and scores, ``.npz``
    what a repository may keep (:func:`published`). ``results.json`` has points and BD-rates in
    short: ``points.<curve>`` is a list of ``{quality, bpp, bpp_estimated, metrics}``,
    ``bd_rate.<task>.<curve>.<anchor>`` a number in percent, and ``bd_rate_details`` what
    ``bd_rate.json`` has. The first task's plot is ``rp_curve.png``, another metric's
    ``rp_<metric>.png``.

    Args:
        found: The curves. Those of standards and of other learned codecs, by their codec's role,
            are the anchors of the others.
        folder: Where to write.
        resamples: Draws of the bootstrap intervals, 0 for none.

    Returns:
        The table's text, and the rates.
    """
    found.save(folder / POINTS)
    published(found).save(folder / COMPACT)
    found.save((folder / POINTS).with_suffix(".csv"))
    rates, refused = compared(found, resamples)
    told = {
        task_of(metric) or metric: {
            curve: {anchor: rate.to_dict() for anchor, rate in by_anchor.items()}
            for curve, by_anchor in by_curve.items()
        }
        for metric, by_curve in rates.items()
    }
    text = _text(found, rates, refused)
    texts = {
        RATES: json.dumps(told, indent=1) + "\n",
        SUMMARY: json.dumps(_summary(found, told), indent=1) + "\n",
        TABLE: text,
    }
    for name, content in texts.items():
        write_atomically(folder / name, [content.encode()])
    _plots(found, rates, folder)
    return text, rates


def check_places(folder: Path) -> None:
    """Make sure that :func:`write_results` can write its files, before anything is measured.

    Raises:
        ConfigError: When it cannot.
    """
    tables = (POINTS, COMPACT, str(Path(POINTS).with_suffix(".csv")))
    for name in (*tables, RATES, SUMMARY, TABLE, PLOT):
        check_output(folder / name)


def read_results(folder: Path) -> RPFile:
    """The points in an experiment's folder; the compact file is read where it is alone.

    Raises:
        MeasurementError: When there is neither, or it is damaged.
    """
    full, compact = folder / POINTS, folder / COMPACT
    return RPFile.load(compact if compact.is_file() and not full.exists() else full)


def published(found: RPFile) -> RPFile:
    """The file without the per-picture detections of most anchors and of foreign tasks.

    Every point keeps its rates and scores, and bytes, PSNR and MS-SSIM by picture. Detections take
    most of the space, and intervals are computed from them: the first standard, the learned codecs
    and the shared decoders keep those of the tasks that a receiver is made for, or of all tasks
    where none is; another receiver keeps those of its own task.
    """
    others = [name for name in found.curves if _role(found, name) == ANCHOR][1:]
    receivers = [_receiver(found, name) for name in found.curves]
    tasks = [metric for metric in metrics_of(found) if task_of(metric)]
    served = [task for task in tasks if any(_made_for(one, task) for one in receivers)]

    def kept(name: str, metric: str) -> bool:
        if served and metric not in served:
            return False
        if _role(found, name) == OURS:
            return _fits(_receiver(found, name), metric)
        return name not in others

    def slim(name: str, point: RPPoint) -> RPPoint:
        if point.pictures is None:
            return point
        matches = {m: one for m, one in point.pictures.matches.items() if kept(name, m)}
        return replace(point, pictures=replace(point.pictures, matches=matches))

    curves = {
        name: replace(curve, points=[slim(name, point) for point in curve.points])
        for name, curve in found.curves.items()
    }
    return replace(found, curves=curves)


def compared(found: RPFile, resamples: int = 0) -> tuple[Rates, list[str]]:
    """BD-rates against every anchor, see :func:`vcm_mt.curves.compare.bd_rates`.

    Standards are not compared with each other.
    """
    points = {name: curve.points for name, curve in found.curves.items()}
    known = [point.pictures for curve in points.values() for point in curve if point.pictures]
    bootstrap = Bootstrap(len(known[0].num_bytes), resamples) if known and resamples else None
    standards = [name for name in found.curves if _role(found, name) == ANCHOR]
    return bd_rates(points, anchors_of(found), metrics_of(found), bootstrap, skip=standards)


def metrics_of(found: RPFile) -> list[str]:
    """All metrics that an anchor has at all its points, or a curve if there is no anchor.

    The tasks' mAP or HOTA comes first, in the tasks' order.
    """
    known: dict[str, None] = {}
    for curve in [found.curves[name] for name in anchors_of(found) or found.curves]:
        for metric in set.intersection(*(set(point.metrics) for point in curve.points)):
            known[metric] = None
    tasks = [*found.data.get("tasks", {})]

    def place(metric: str) -> tuple[bool, int, str]:
        task = task_of(metric)
        return task is None, tasks.index(task) if task in tasks else len(tasks), metric

    return sorted(known, key=place)


def anchors_of(found: RPFile) -> list[str]:
    """The curves that others are compared with: standards, then other learned codecs."""
    return [
        name for role in (ANCHOR, LEARNED) for name in found.curves if _role(found, name) == role
    ]


def _role(found: RPFile, name: str) -> str:
    return str(found.curves[name].codec.get("role", ""))


def _receiver(found: RPFile, name: str) -> str:
    return str(found.curves[name].codec.get("receiver", "shared"))


def shown_curves(found: RPFile, metric: str) -> dict[str, list[RPPoint]]:
    """The curves in a plot of this metric, as many as can be told apart.

    The first anchor, our shared decoders and the receivers made for this metric, the other anchors,
    receivers made for something else.
    """
    anchors = anchors_of(found)
    own = [name for name in found.curves if name not in anchors]
    fitting = [name for name in own if _fits(_receiver(found, name), metric)]
    others = [name for name in own if name not in fitting]
    order = [*anchors[:1], *fitting, *anchors[1:], *others]
    known = {
        name: found.curves[name].points
        for name in order
        if all(metric in point.metrics for point in found.curves[name].points)
    }
    return dict(list(known.items())[: len(COLOURS)])


def _fits(receiver: str, metric: str) -> bool:
    """Whether a receiver was made for what the metric judges; the shared one counts for all."""
    return receiver == "shared" or _made_for(receiver, metric)


def _made_for(receiver: str, metric: str) -> bool:
    return (task_of(metric) or "human") in receiver


def _summary(found: RPFile, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "points": {
            name: [replace(point, pictures=None).to_dict() for point in sort_points(curve.points)]
            for name, curve in found.curves.items()
        },
        "originals": finite(found.originals),
        "bd_rate": {
            task: {
                curve: {anchor: rate["value"] for anchor, rate in by_anchor.items()}
                for curve, by_anchor in by_curve.items()
            }
            for task, by_curve in told.items()
        },
        "bd_rate_details": told,
    }


def _text(found: RPFile, rates: Rates, refused: Sequence[str]) -> str:
    curves = {name: curve.points for name, curve in found.curves.items()}
    lines = [
        f"- {metric_title(metric)}, {curve} against {anchor}: {rate}"
        + "".join(f"; {remark}" for remark in rate.warnings)
        for metric, by_curve in rates.items()
        for curve, by_anchor in by_curve.items()
        for anchor, rate in by_anchor.items()
    ]
    originals = ", ".join(f"{metric_title(m)} {v:.2f}" for m, v in found.originals.items())
    codecs = [
        f"- {name}: {curve.codec['version']}"
        for name, curve in found.curves.items()
        if "version" in curve.codec
    ]
    parts = [
        rp_table_markdown(curves, metrics_of(found)),
        f"Originals: {originals}\n" if originals else "",
        "\n".join(codecs) + "\n" if codecs else "",
        "BD-rates:\n\n" + "\n".join([*lines, *(f"- {line}" for line in refused)]) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def _plots(found: RPFile, rates: Rates, folder: Path) -> None:
    """Write a plot per metric; mAP stands for the task's other scores."""
    anchors = anchors_of(found)
    plotted = [metric for metric in metrics_of(found) if "_AP" not in metric]
    for number, metric in enumerate(plotted):
        shown = shown_curves(found, metric)
        own = rates.get(metric, {})
        plot_rp_curves(
            shown,
            metric,
            folder / (f"rp_{metric}.png" if number else PLOT),
            reference=found.originals.get(metric),
            title=found.data.get("description"),
            bd_rates={
                name: own[name][anchors[0]]
                for name in shown
                if anchors and anchors[0] in own.get(name, {})
            },
        )
