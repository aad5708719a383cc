"""From an experiment's folder to the page, the figures and TensorBoard's entries.

Two libraries plot: matplotlib writes the figures as PDF, SVG and PNG without a browser, and Plotly
the page's curves, which a reader can hover over, hide and zoom without a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from vcm_mt.curves.bd_rate import BDRate
from vcm_mt.curves.compare import Rates
from vcm_mt.curves.rp import metric_title
from vcm_mt.curves.rp_file import RPCurve, RPFile
from vcm_mt.evaluation.samples import ORIGINALS, Seen, read_picture, read_samples
from vcm_mt.files import check_output
from vcm_mt.report.films import films_of
from vcm_mt.report.instances import best, instance, named
from vcm_mt.report.page import (
    Film,
    Instance,
    Matrix,
    RateRow,
    Report,
    ReportCurve,
    Sample,
    Version,
)
from vcm_mt.report.page import write_page as write_html
from vcm_mt.report.plot import plot_rp_curves
from vcm_mt.report.results import TABLE, anchors_of, metrics_of, shown_curves

PAGE, TENSORBOARD, FILMS = "report.html", "report", "films"


@dataclass(frozen=True)
class Wording:
    """Texts of an experiment's page.

    Attributes:
        title: Of the page.
        summary: A paragraph.
        targets: BD-rates in percent to reach, by metric, against the first anchor.
        notes: Further paragraphs.
    """

    title: str = "R-P curves"
    summary: str = ""
    targets: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_report(found: RPFile, rates: Rates, folder: Path, wording: Wording) -> Path:
    """Write the page of an experiment, and the same for TensorBoard.

    Args:
        found: Its curves.
        rates: Their BD-rates, see :func:`vcm_mt.report.results.compared`.
        folder: Its folder, with ``samples`` and ``films``; the page is written there.
        wording: The page's texts.

    Returns:
        The page's file.
    """
    samples = [_sample(*kept, list(found.curves)) for kept in read_samples(folder / "samples")]
    films = films_of(folder / FILMS, found)
    page = write_html(build_report(found, rates, samples, wording, films), folder / PAGE)
    to_tensorboard(folder, samples)
    return page


def build_report(
    found: RPFile,
    rates: Rates,
    samples: Sequence[Sample],
    wording: Wording,
    films: Sequence[Film] = (),
) -> Report:
    """Gather what the page shows."""
    order = [*anchors_of(found), *(n for n in found.curves if n not in anchors_of(found))]
    rows = [
        RateRow(curve, anchor, rate)
        for by_curve in rates.values()
        for curve, by_anchor in by_curve.items()
        for anchor, rate in by_anchor.items()
    ]
    return Report(
        title=wording.title,
        summary=wording.summary or str(found.data.get("description", "")),
        originals={m: found.originals[m] for m in metrics_of(found) if m in found.originals},
        curves=[_curve(name, found.curves[name]) for name in order],
        rates=rows,
        samples=samples,
        films=films,
        matrices=_matrix(found, rates),
        shortfalls=[*_shortfalls(found, rates, wording.targets), *wording.notes],
        provenance={
            name: str(value)
            for name, value in {**found.made_with, **found.data}.items()
            if name != "command"
        },
        commands=[found.made_with["command"]] if "command" in found.made_with else [],
    )


def write_figures(found: RPFile, rates: Rates, folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Write plots for a paper, one per metric and suffix (pdf, png, svg)."""
    first = anchors_of(found)[:1]
    return [
        plot_rp_curves(
            shown_curves(found, metric),
            metric,
            _figure(folder, metric, suffix),
            reference=found.originals.get(metric),
            bd_rates={
                name: by_anchor[first[0]]
                for name, by_anchor in rates.get(metric, {}).items()
                if first and first[0] in by_anchor and name in shown_curves(found, metric)
            },
        )
        for metric in metrics_of(found)
        for suffix in suffixes
    ]


def check_places(found: RPFile, folder: Path, figures: Path, suffixes: Iterable[str]) -> None:
    """Make sure that the page and the figures can be written, before they are computed.

    Raises:
        ConfigError: When one cannot.
    """
    places = [
        _figure(figures, metric, suffix) for metric in metrics_of(found) for suffix in suffixes
    ]
    for place in (folder / PAGE, folder / TENSORBOARD / "events", *places):
        check_output(place)


def _figure(folder: Path, metric: str, suffix: str) -> Path:
    return folder / f"rp_{metric}.{suffix}"


def to_tensorboard(folder: Path, samples: Sequence[Sample]) -> None:
    """Write plots, tables and the stored pictures for TensorBoard, as the run ``report``."""
    with SummaryWriter(str(folder / TENSORBOARD)) as writer:
        for plot in sorted(folder.glob("rp_*.png")):
            writer.add_image(plot.stem, read_picture(plot), dataformats="HWC")
        if (folder / TABLE).is_file():
            writer.add_text("table", (folder / TABLE).read_text("utf-8", errors="replace"))
        for sample in samples:
            writer.add_image(f"{sample.name}/original", sample.original, dataformats="HWC")
            for one in sample.versions:
                place = f"{sample.name}/{one.curve} {one.quality:g}, {one.bpp:.3f} bpp"
                writer.add_image(place, one.pixels, dataformats="HWC")


def _curve(name: str, curve: RPCurve) -> ReportCurve:
    codec = curve.codec
    line = ", ".join(str(codec[key]) for key in ("name", "version", "preset") if codec.get(key))
    role = str(codec.get("role", "learned"))
    return ReportCurve(
        name=name,
        title=curve.title or name,
        role=role,
        points=curve.points,
        codec=line,
        quality_name="quality" if role == "anchor" else "level",
        visible=len(curve.points) > 1,
    )


def _matrix(found: RPFile, rates: Rates) -> list[Matrix]:
    """BD-rates against the first anchor, of each curve by each task."""
    first = anchors_of(found)[:1]
    tasks = [metric for metric in rates if metric in found.originals]
    curves = [name for name in found.curves if name not in first]
    values = [
        [_value(rates[metric].get(name, {}).get(first[0])) for metric in tasks] for name in curves
    ]
    if len(tasks) < 2 or not any(value is not None for row in values for value in row):
        return []
    return [
        Matrix(
            title=f"BD-rate against {first[0]}, by the task that judges",
            rows=[found.curves[name].title or name for name in curves],
            columns=[metric_title(metric) for metric in tasks],
            values=values,
            unit="%",
            lower_is_better=True,
        )
    ]


def _value(rate: BDRate | None) -> float | None:
    return None if rate is None else round(rate.value, 2)


def _shortfalls(found: RPFile, rates: Rates, targets: Mapping[str, float]) -> list[str]:
    first = anchors_of(found)[:1]
    told = []
    for metric, target in targets.items():
        by_curve = {
            name: by_anchor[first[0]].value
            for name, by_anchor in rates.get(metric, {}).items()
            if first and first[0] in by_anchor and found.curves[name].codec.get("role") == "ours"
        }
        if not by_curve:
            told.append(f"{metric_title(metric)}: not measured against an anchor.")
            continue
        best = min(by_curve, key=lambda name: by_curve[name])
        if by_curve[best] > target:
            told.append(
                f"{metric_title(metric)}: the best curve, {best}, reaches {by_curve[best]:+.2f} % "
                f"against {first[0]}; the aim was {target:+.2f} %."
            )
    return told


def _sample(place: Path, truth: dict[str, Any], seen: Sequence[Seen], known: list[str]) -> Sample:
    original = read_picture(place / "original.png")
    classes = named(truth["classes"])

    def instances(found: Mapping[str, Any]) -> dict[str, list[Instance]]:
        return {
            task: [instance(one, classes[task], original.shape) for one in best(ones)]
            for task, ones in found.items()
        }

    objects = next(iter(truth["objects"].values()))
    names = next(iter(classes.values()))
    return Sample(
        name=f"picture {int(place.name)}",
        original=original,
        truth=[instance(one, names, original.shape) for one in objects],
        versions=[
            Version(
                one.curve,
                one.quality,
                "",
                8 * one.num_bytes / (original.shape[0] * original.shape[1]),
                one.num_bytes,
                one.psnr,
                one.pixels(place),
                instances(one.found),
                None if one.bits is None else np.array(one.bits),
            )
            for one in sorted(seen, key=lambda one: (one.curve, one.num_bytes))
            if one.curve in known
        ],
        found=next((instances(one.found) for one in seen if one.curve == ORIGINALS), {}),
    )
