"""MPEG's BD-rates: every curve fitted, sequences and classes averaged, the template's table."""

import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize

from tests.test_curves.test_voc import SETS, coco, coco_eval, random_set
from vcm_mt.cli.main import main
from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.counts import Counts
from vcm_mt.curves.csv_file import read_csv
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.mpeg import OVERALL, Unit, by_class, by_sequence, compare, to_template
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.curves.rp_file import RPFile
from vcm_mt.errors import MeasurementError


def fit(rates, scores):
    """The rising, concave cubic in log10(rate) nearest to the scores, by another solver."""
    x = np.log10(rates)
    powers = np.vander(x, 4)
    slopes = np.stack([3 * x**2, 2 * x, np.ones_like(x), 0 * x], axis=1)
    bends = np.stack([6 * x, 2 + 0 * x, 0 * x, 0 * x], axis=1)
    limits = np.concatenate([slopes, -bends])
    found = minimize(
        lambda b: np.sum((powers @ b - scores) ** 2), np.array([0, 0, *np.polyfit(x, scores, 1)]),
        jac=lambda b: 2 * powers.T @ (powers @ b - scores), method="trust-constr",
        hess=lambda _: 2 * powers.T @ powers,
        constraints={"type": "ineq", "fun": lambda b: limits @ b, "jac": lambda _: limits},
        options={"maxiter": 3000, "gtol": 1e-12, "xtol": 1e-14},
    )  # fmt: skip
    return powers @ found.x


def by_hand(anchor, test):
    """BD-rate in percent of curves (rates, scores), by integrals."""
    curves = [PchipInterpolator(scores, np.log10(rates)) for rates, scores in (anchor, test)]
    low = max(scores[0] for _, scores in (anchor, test))
    high = min(scores[-1] for _, scores in (anchor, test))
    areas = [quad(curve, low, high, limit=500)[0] for curve in curves]
    return 100 * (10 ** ((areas[1] - areas[0]) / (high - low)) - 1)


@pytest.mark.parametrize(("metric", "wanted"), [("det_mAP", -60.63), ("segm_mAP", -57.88)])
def test_the_papers_tables_by_mpegs_way(metric, wanted):
    paper = RPFile.load("paper")
    curves = []
    for name in ("vvc", "trained"):
        points = sorted(paper.points(name), key=lambda point: point.bpp)
        rates = np.array([point.bpp for point in points])
        scores = np.array([point.metrics[metric] for point in points])
        curves.append((rates, fit(rates, scores)))
    rate = bd_rate(paper.points("vvc"), paper.points("trained"), metric, monotone="mpeg")
    assert rate.value == pytest.approx(by_hand(*curves), abs=0.02)
    assert rate.value == pytest.approx(wanted, abs=0.01)
    assert rate.other_methods["MPEG"] == pytest.approx(rate.value)
    plain = bd_rate(paper.points("vvc"), paper.points("trained"), metric)
    assert plain.other_methods["MPEG"] == pytest.approx(rate.value)


def test_the_command_prints_both(capsys):
    assert main(["bd-rate", "--anchor", "paper:vvc", "--test", "paper:trained"]) == 0
    told = capsys.readouterr().out
    assert "by MPEG" in told and "-60.63 %" in told and "-61.23 %" in told


def points(seed, factor=1.0, base=2):
    """Points whose units are four pictures: two sequences of one and two, and one picture more."""
    images, objects, found = random_set(4 * (seed // 4) + 3)
    for one in objects:
        one.pop("group_of")
    truth = coco(images, objects)
    rng = np.random.default_rng(seed)
    made = []
    for level in range(6):
        kept = [one for one in found if rng.random() < 0.3 + level / 9]
        matches = Matches.of(truth, kept, "bbox", [1, 2, 3, 4])
        counts = Counts("MOTA", rng.integers(1, 9, (4, 4)).astype(float))
        sizes = np.array([100, 200, 300, 400]) * base**level * factor
        pictures = Pictures(np.full(4, 1000), sizes.astype(int), np.zeros(4, int),
                            matches={"det_mAP": matches, "track_MOTA": counts})  # fmt: skip
        made.append((RPPoint(level, 1.0, pictures=pictures), kept))
    return truth, made


UNITS = [
    Unit("one", "B", (0,), 0.5), Unit("two", "B", (1, 2), 2.0), Unit("three", "C", (3,), 1.0),
]  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_sequences_and_classes_are_measured_from_the_same_points(part):
    for seed in range(3 + 4 * part, 4 * SETS, 16):
        truth, made = points(seed)
        own = by_sequence([point for point, _ in made], UNITS, "det_mAP", {"one": range(22, 52, 5)})
        assert [point.quality for point in own["one"]] == [22, 27, 32, 37, 42, 47]
        assert [point.quality for point in own["two"]] == [0, 1, 2, 3, 4, 5]
        for (point, kept), one, two in zip(made, own["one"], own["two"], strict=True):
            sizes = point.pictures.num_bytes
            assert one.bpp == pytest.approx(8 * sizes[0] / 0.5 / 1000)
            assert two.bpp == pytest.approx(8 * (sizes[1] + sizes[2]) / 2 / 1000)
            other = coco_eval(truth, kept, [2, 3], "bbox")
            score = two.metrics["det_mAP@kbps"] / 100
            assert (-1 if np.isnan(score) else score) == pytest.approx(other[0], abs=1e-6)
        half = by_sequence([point for point, _ in made], UNITS, "det_AP50")
        pooled = by_class([point for point, _ in made], UNITS, "det_AP50")
        for (point, kept), two, whole in zip(made, half["two"], pooled["B"], strict=True):
            other = coco_eval(truth, kept, [2, 3], "bbox")
            score = two.metrics["det_AP50@kbps"] / 100
            assert (-1 if np.isnan(score) else score) == pytest.approx(other[1], abs=1e-6)
            sizes = point.pictures.num_bytes
            # The mean rate, weighted by duration.
            each = [8 * sizes[0] / 0.5 / 1000, 8 * (sizes[1] + sizes[2]) / 2 / 1000]
            assert whole.bpp == pytest.approx((0.5 * each[0] + 2 * each[1]) / 2.5)
            other = coco_eval(truth, kept, [1, 2, 3], "bbox")
            score = whole.metrics["det_AP50@kbps"] / 100
            assert (-1 if np.isnan(score) else score) == pytest.approx(other[1], abs=1e-6)
        mota = by_class([point for point, _ in made], UNITS, "track_MOTA")["B"][0]
        counts = made[0][0].pictures.matches["track_MOTA"].counts[:3].sum(axis=0)
        assert mota.metrics["track_MOTA@kbps"] == pytest.approx(
            100 * (1 - counts[1:].sum() / counts[0])
        )


def test_pictures_are_a_unit_in_bits_per_pixel():
    _, made = points(3)
    (point,) = by_sequence([made[0][0]], [Unit("all", "OIV6", (0, 1, 2, 3))], "det_mAP")["all"]
    assert point.bpp == pytest.approx(8 * 250 / 1000)
    assert list(point.metrics) == ["det_mAP"]


def curve(factor, bend=0.0):
    """Six points of a score that rises, with a dent."""
    scores = [20, 28, 34, 38 - bend, 40, 41]
    return [
        RPPoint(q, factor * 100 * 2**n, metrics={"s@kbps": float(score)})
        for n, (q, score) in enumerate(zip(range(47, 17, -5), scores, strict=True))
    ]


def test_means_by_class_and_over_all():
    anchor = {"a": curve(1), "b": curve(1), "c": curve(1)}
    test = {"a": curve(0.5), "b": curve(0.8), "c": curve(0.7)}
    found = compare(anchor, test, {"a": "B", "b": "B", "c": "C"})
    assert found.rates["a"]["MPEG"] == pytest.approx(-50, abs=0.01)
    assert found.means["B"]["pchip"] == pytest.approx(-35)
    assert found.means["C"]["MPEG"] == pytest.approx(-30, abs=0.01)
    assert found.means[OVERALL]["pchip"] == pytest.approx((-50 - 20 - 30) / 3)
    assert "mean, overall" in found.to_markdown()
    assert json.loads(json.dumps(found.to_dict()))["means"]["B"]["pchip"] == pytest.approx(-35)


def test_what_has_no_figure_is_told_and_left_out_of_means():
    flat = [RPPoint(p.quality, p.bpp, metrics={"s@kbps": 90.0 + n / 9})
            for n, p in enumerate(curve(1))]  # fmt: skip
    found = compare({"a": curve(1), "b": curve(1), "x": curve(1)}, {"a": curve(0.5), "b": flat})
    assert found.rates["b"] == {"MPEG": None, "pchip": None}
    assert found.means[OVERALL]["pchip"] == pytest.approx(-50)
    assert any("b: MPEG: the curves share no range" in remark for remark in found.remarks)
    assert "x is in one of the two alone" in found.remarks
    with pytest.raises(MeasurementError, match="none of them is in both"):
        compare({"a": curve(1)}, {"b": curve(1)})


def test_a_dent_is_fitted_by_mpeg_and_cut_by_pchip():
    found = compare({"a": curve(1)}, {"a": curve(1, bend=5)})
    assert found.rates["a"]["MPEG"] > 0 and found.rates["a"]["pchip"] > 0
    assert any("pchip: s@kbps does not rise" in remark for remark in found.remarks)


def test_the_templates_table_is_read_again(tmp_path):
    path = tmp_path / "final.csv"
    path.write_text(to_template({"BQMall": curve(1), "BQSquare": curve(2)}))
    lines = path.read_text().splitlines()
    assert lines[0] == ",Dataset,qp,bitrate (kbps),end_accuracy"
    assert lines[1].startswith("0,BQMall,22,3200")
    found = read_csv(path)
    assert {p.bpp for p in found["BQSquare"]} == {p.bpp for p in curve(2)}
    assert found["BQMall"][0].metrics == {"end_accuracy@kbps": 41}
    plain = [RPPoint(22, 0.5, metrics={"det_oiAP": 60.0})]
    assert to_template({"OIV6": plain}).splitlines()[0] == ",Dataset,qp,avg_bpp,end_accuracy"


def test_the_command_compares_files_sequence_by_sequence(tmp_path, capsys):
    for name, factor in (("anchor", 1), ("test", 0.5)):
        table = to_template({"BQMall": curve(factor), "BQSquare": curve(factor)})
        (tmp_path / f"{name}.csv").write_text(table)
    out = tmp_path / "rates.json"
    given = [str(tmp_path / "anchor.csv"), "--test", str(tmp_path / "test.csv"), "--by-sequence"]
    assert main(["bd-rate", "--anchor", *given, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "BQSquare" in told and "mean, overall" in told and "-50.00 %" in told
    assert json.loads(out.read_text())["means"]["overall"]["pchip"] == pytest.approx(-50)
