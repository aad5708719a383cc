"""Plots and tables hold the figures they were given."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.image import imread

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.table import rp_table_markdown
from vcm_mt.errors import MeasurementError
from vcm_mt.report.plot import plot_rp_curves


@pytest.fixture
def curves():
    scores = (20.0, 28.0, 34.0, 37.5)
    return {
        "VVC (VVenC)": [
            RPPoint(qp, bpp, None, {"det_mAP": score})
            for qp, bpp, score in zip((42, 37, 32, 27), (0.1, 0.2, 0.4, 0.8), scores, strict=True)
        ],
        "trained": [
            RPPoint(level, bpp, bpp * 1.1, {"det_mAP": score})
            for level, bpp, score in zip(
                (4, 3, 2, 1), (0.4, 0.2, 0.1, 0.05), scores[::-1], strict=True
            )
        ],
    }


@pytest.fixture
def bd(curves):
    return bd_rate(*curves.values(), "det_mAP")


def svg_texts(path):
    return "".join(ET.parse(path).getroot().itertext())


def test_plot_names_curves_units_reference_and_bd_rate(curves, bd, tmp_path):
    with rc_context({"svg.fonttype": "none"}):
        path = plot_rp_curves(
            curves,
            "det_mAP",
            tmp_path / "plots" / "rp.svg",
            reference=41.3,
            title="Mini set",
            bd_rates={"trained": bd},
        )
    text = svg_texts(path)
    for part in ("VVC (VVenC)", "trained", "\N{MINUS SIGN}50.0 %", "41.3", "bits per pixel"):
        assert part in text
    assert "detection mAP (%)" in text and "Mini set" in text


def test_png_is_sharp_enough_and_not_empty(curves, tmp_path):
    picture = imread(plot_rp_curves(curves, "det_mAP", tmp_path / "rp.png", log_rate=False))
    assert picture.shape[1] >= 1000 and np.ptp(picture[..., :3]) > 0.5


def test_plot_refuses_figures_of_something_else(curves, bd, tmp_path):
    path = tmp_path / "rp.png"
    with pytest.raises(MeasurementError, match="curves are"):
        plot_rp_curves(curves, "det_mAP", path, bd_rates={"other": bd})
    with pytest.raises(MeasurementError, match="psnr"):
        plot_rp_curves(curves, "psnr", path)
    with pytest.raises(MeasurementError, match="1 to 7 curves"):
        plot_rp_curves({}, "det_mAP", path)
    assert not path.exists()


def test_table_is_aligned_and_complete(curves, bd):
    text = rp_table_markdown(curves, ["det_mAP", "psnr"], {"trained": [bd]})
    points, figures = (block.splitlines() for block in text.strip().split("\n\n"))
    assert len(points) == 2 + 8 and len(figures) == 2 + 1
    for table in (points, figures):
        bars = [[i for i, letter in enumerate(line) if letter == "|"] for line in table]
        assert all(columns == bars[0] for columns in bars)
    cells = [cell.strip() for cell in points[6].strip("|").split("|")]
    assert cells == ["trained", "1", "0.0500", "0.0550", "20.00", "\N{EN DASH}"]
    for part in ("-50.00 %", "pchip", "1.00", "20.00 .. 37.50"):
        assert part in figures[2]


def test_table_refuses_a_bd_rate_without_its_curve(curves, bd):
    with pytest.raises(MeasurementError, match="stray"):
        rp_table_markdown(curves, ["det_mAP"], {"stray": [bd]})


def test_a_curve_that_has_no_bd_rate_is_drawn_all_the_same(curves, tmp_path):
    twice = [RPPoint(1, 0.2, None, {"det_mAP": score}) for score in (20.0, 21.0)]
    unknown = [
        RPPoint(1, 0.2, None, {"det_mAP": float("nan")}),
        RPPoint(2, 0.4, None, {"det_mAP": 30.0}),
    ]
    path = plot_rp_curves(
        {**curves, "twice": twice, "unknown": unknown},
        "det_mAP",
        tmp_path / "rp.png",
        reference=float("nan"),
    )
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    "name", ["_ours", "a$b$c", "__x__", r"\alpha $\frac{1}{2}$", "$", "a_{b}^2"]
)
def test_names_are_drawn_as_they_are(curves, tmp_path, name):
    drawn = {"vvc": curves["trained"], name: curves["VVC (VVenC)"]}
    metric = f"{name} mAP"
    for points in drawn.values():
        for point in points:
            point.metrics[metric] = point.metrics["det_mAP"]
    bd = bd_rate(drawn["vvc"], drawn[name], metric)
    with rc_context({"svg.fonttype": "none"}):
        path = plot_rp_curves(
            drawn, metric, tmp_path / "rp.svg", title=f"On {name}", bd_rates={name: bd}
        )
    texts = [text.strip() for text in ET.parse(path).getroot().itertext()]
    assert {f"On {name}", metric, "vvc"} <= set(texts)
    assert any(text.startswith(f"{name} (") for text in texts)
