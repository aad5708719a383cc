"""Curves on disk: what other programs read, and tables that other programs wrote."""

import json

import numpy as np
import pytest

from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.rp_file import RPCurve, RPFile, load_points
from vcm_mt.errors import MeasurementError
from vcm_mt.report.results import shown_curves, write_results

RATES, SCORES = (0.1, 0.2, 0.4), (20.0, 28.5, 34.0)


@pytest.mark.parametrize(
    "text",
    [
        "bpp,det_mAP\n0.1,20\n0.2,28.5\n0.4,34\n",
        "\ufeffBPP, det_mAP\r\n0.1, 20\r\n\r\n0.2, 28.5\r\n0.4, 34\r\n",
        "quality;bpp;det_mAP\n1;0,1;20\n2;0,2;28,5\n3;0,4;34\n;;\n",
        "Quality\tbpp\tdet_mAP\n1\t0.1\t20\n2\t0.2\t28.5\n3\t0.4\t34\n",
    ],
    ids=["plain", "spreadsheet", "decimal commas", "tabs"],
)
def test_tables_as_people_write_them(text, tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(text.encode())
    points = load_points(str(path))
    assert [point.bpp for point in points] == list(RATES)
    assert [point.metrics for point in points] == [{"det_mAP": score} for score in SCORES]
    assert [point.quality for point in points] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "header line with `bpp`"),
        ("rate,mAP\n0.1,20\n", "header line with `bpp`"),
        ("bpp,mAP\n", "no points"),
        ("bpp,mAP\n0.1,twenty\n", "line 2: mAP is 'twenty'"),
        ("bpp,mAP\n0.1,20\n,30\n", "line 3: no bpp"),
        ("bpp,mAP\n0,1,20\n", "line 2: 3 values under 2 names"),
        (b"\xff\xfe\x00bpp", "not UTF-8"),
    ],
)
def test_a_table_that_is_none_says_where(text, told, tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MeasurementError, match=told):
        RPFile.load(path)


def test_a_score_that_there_is_none_of_leaves_valid_json_and_the_other_curves(tmp_path):
    """A task without an object to find has no score; another tool's table may repeat a rate."""
    whole = [
        RPPoint(q, bpp, None, {"det_mAP": score, "segm_mAP": float("nan")})
        for q, (bpp, score) in enumerate(zip(RATES, SCORES, strict=True))
    ]
    equal = [RPPoint(q, 0.2, None, {"det_mAP": s}) for q, s in enumerate(SCORES)]
    curves = {
        "vvc": RPCurve(whole, codec={"role": "anchor"}),
        "ours": RPCurve([*whole], codec={"role": "ours"}),
        "equal": RPCurve(equal, codec={"role": "ours"}),
    }
    text, rates = write_results(RPFile(curves, {"det_mAP": float("nan")}), tmp_path)
    assert "two points have the same rate" in text and "segm_mAP must be finite" in text
    assert set(rates["det_mAP"]) == {"ours"} and "segm_mAP" not in rates
    assert (tmp_path / "rp_curve.png").is_file()

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    for name in ("rp_points.json", "results.json", "bd_rate.json"):
        json.loads((tmp_path / name).read_text(), parse_constant=refuse)
    again = RPFile.load(tmp_path / "rp_points.json")
    assert np.isnan(again.points("vvc")[0].metrics["segm_mAP"]) and again.originals == {}


def test_a_plot_shows_what_was_made_for_its_metric_first():
    points = [RPPoint(1, 0.1, None, {"det_mAP": 1.0, "psnr": 2.0})]
    codecs = {"vvc": {"role": "anchor"}, "jpeg": {"role": "anchor"}} | {
        f"ours_{receiver}": {"role": "ours", "receiver": receiver}
        for receiver in ("segm", "human", "det", "shared")
    }
    found = RPFile({name: RPCurve(points, codec=codec) for name, codec in codecs.items()})
    first = ["vvc", "ours_det", "ours_shared", "jpeg"]
    assert list(shown_curves(found, "det_mAP")) == [*first, "ours_segm", "ours_human"]
    first = ["vvc", "ours_human", "ours_shared", "jpeg"]
    assert list(shown_curves(found, "psnr")) == [*first, "ours_segm", "ours_det"]
