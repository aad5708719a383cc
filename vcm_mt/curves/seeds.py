"""How far a training's seed moves a BD-rate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.curves.rp import RPPoint, metric_title


def seeds_markdown(
    curves: Mapping[str, Sequence[RPPoint]],
    anchor: Sequence[RPPoint],
    seeds: Mapping[int, Mapping[str, RPPoint]],
    judged: Sequence[tuple[str, str]],
) -> str:
    """Scores and BD-rates of one quality trained with several seeds, as a Markdown table.

    A seed's BD-rate is that of the whole curve with the seed's point in place of the one of the
    same quality (PCHIP).

    Args:
        curves: The experiment's curves by name.
        anchor: What they are held to.
        seeds: By seed its point of each curve, in the curve's own name.
        judged: Curve and metric of each pair of columns.

    Raises:
        MeasurementError: When a curve and the anchor have no BD-rate.
    """
    head = ["seed", "bpp"]
    for name, metric in judged:
        head += [f"{metric_title(metric)}, {name}", "BD-rate (%)"]
    rows = []
    for seed, points in seeds.items():
        row = [str(seed), f"{next(iter(points.values())).bpp:.4f}"]
        for name, metric in judged:
            own = points[name]
            curve = [own if point.quality == own.quality else point for point in curves[name]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of the whole curve are in its own table
                rate = bd_rate(anchor, curve, metric).value
            row += [f"{own.metrics[metric]:.2f}", f"{rate:+.2f}"]
        rows.append(row)
    return markdown_table(head, rows)
