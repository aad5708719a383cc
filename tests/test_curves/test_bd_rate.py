"""BD-rate: the published figures, known answers, and what is refused."""

import json
import warnings

import numpy as np
import pytest

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.bootstrap import Bootstrap
from vcm_mt.curves.monotone import fitted, rises
from vcm_mt.curves.rp import Curve, Pictures, RPPoint, rp_curve
from vcm_mt.errors import MeasurementError, VCMError

QUALITIES = (47, 42, 37, 32, 27, 22)
PAPER_ANCHOR = {
    "bpp": (0.062, 0.147, 0.308, 0.580, 1.006, 1.598),
    "det_mAP": (13.409, 24.133, 32.355, 37.933, 40.536, 41.558),
    "segm_mAP": (12.181, 21.379, 28.335, 32.765, 35.057, 35.907),
}
PAPER_TRAINED = {
    "bpp": (0.079, 0.147, 0.292, 0.444, 0.612, 0.816),
    "det_mAP": (25.980, 35.095, 39.036, 40.645, 41.926, 42.246),
    "segm_mAP": (22.519, 29.999, 33.399, 34.966, 35.940, 36.311),
}


def paper_points(table):
    return [
        RPPoint(quality, bpp, metrics={"det_mAP": det, "segm_mAP": segm})
        for quality, bpp, det, segm in zip(QUALITIES, *table.values(), strict=True)
    ]


def points(rates, scores):
    return [
        RPPoint(level, rate, metrics={"mAP": score})
        for level, (rate, score) in enumerate(zip(rates, scores, strict=True))
    ]


RATES, SCORES = (0.1, 0.2, 0.4, 0.8), (20.0, 28.0, 34.0, 37.0)


@pytest.mark.parametrize("metric, expected", [("det_mAP", -61.2), ("segm_mAP", -58.5)])
def test_gives_the_published_figures(metric, expected):
    result = bd_rate(paper_points(PAPER_ANCHOR), paper_points(PAPER_TRAINED), metric)
    assert result.value == pytest.approx(expected, abs=0.05)  # as published, to one digit
    assert result.other_methods["pchip"] == result.value
    low, high = result.leave_one_out
    assert low < result.value < high
    for text in (metric, "pchip", "overlap", "leave-one-out"):
        assert text in str(result)


def test_other_methods_on_the_published_figures():
    result = bd_rate(paper_points(PAPER_ANCHOR), paper_points(PAPER_TRAINED), "det_mAP", "cubic")
    assert result.value == pytest.approx(-59.34, abs=0.02)
    assert result.other_methods["akima"] == pytest.approx(-61.56, abs=0.02)


@pytest.mark.parametrize("method", ["pchip", "akima", "cubic"])
def test_half_the_rate_is_minus_fifty_percent(method):
    result = bd_rate(
        points(RATES, SCORES), points([r / 2 for r in RATES], SCORES), "mAP", method=method
    )
    assert result.value == pytest.approx(-50)
    assert result.overlap == pytest.approx(1)
    assert result.interval == (20.0, 37.0)


def test_order_of_points_does_not_matter():
    anchor, test = paper_points(PAPER_ANCHOR), paper_points(PAPER_TRAINED)
    shuffled = [anchor[i] for i in (3, 0, 5, 1, 4, 2)]
    assert bd_rate(shuffled, test[::-1], "det_mAP") == bd_rate(anchor, test, "det_mAP")


def test_curves_may_differ_in_number_of_points():
    test = points([r / 2 for r in RATES[:3]], SCORES[:3])
    result = bd_rate(points(RATES, SCORES), test, "mAP")
    assert result.value == pytest.approx(-49.655, abs=1e-3)  # a point less, another shape
    assert result.interval == (20.0, 34.0)
    assert result.other_methods["cubic"] is None


def test_overlap_is_shared_range_over_union():
    anchor = points((0.1, 0.2, 0.4), (20, 30, 40))
    test = points((0.1, 0.2, 0.4), (25, 36, 44))
    assert bd_rate(anchor, test, "mAP").overlap == pytest.approx(15 / 24)


def test_leave_one_out_covers_every_single_point():
    anchor = points(RATES, SCORES)
    test = points([r * f for r, f in zip(RATES, (0.5, 0.5, 0.9, 0.5), strict=True)], SCORES)
    low, high = bd_rate(anchor, test, "mAP").leave_one_out
    # Without the one bad point, the rest is exactly half.
    without_bad = bd_rate(points(RATES, SCORES), [*test[:2], test[3]], "mAP").value
    assert low == pytest.approx(without_bad)
    assert high > bd_rate(anchor, test, "mAP").value


def test_leave_one_out_is_none_when_too_few_points_would_be_left():
    anchor = points(RATES[:3], SCORES[:3])
    result = bd_rate(anchor, points([r / 2 for r in RATES[:3]], SCORES[:3]), "mAP")
    assert result.leave_one_out is None
    assert "leave-one-out" not in str(result)


def test_non_monotone_curve_is_reduced_to_its_front_with_a_warning():
    anchor = points(RATES, SCORES)
    test = points((0.05, 0.1, 0.15, 0.2, 0.4), (20.0, 28.0, 27.0, 34.0, 37.0))
    with pytest.warns(UserWarning, match=r"0\.15 bpp -> 27"):
        result = bd_rate(anchor, test, "mAP")
    assert result.value == pytest.approx(-50)
    assert len(result.dropped) == 1 and "test 0.15 bpp" in result.dropped[0]


def test_monotone_option_accepts_the_front_silently():
    test = points((0.05, 0.1, 0.2, 0.3, 0.4), (20.0, 28.0, 34.0, 34.0, 37.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = bd_rate(points(RATES, SCORES), test, "mAP", monotone="front")
    assert result.value == pytest.approx(-50) and len(result.dropped) == 1


def test_warns_of_thin_overlap():
    with pytest.warns(UserWarning, match="share only"):
        bd_rate(points(RATES, SCORES), points(RATES, (36.0, 45.0, 50.0, 55.0)), "mAP")


@pytest.mark.parametrize(
    "rates, scores, message",
    [
        ((0.1,), (20.0,), "at least 2 points"),
        ((0.1, float("nan"), 0.4), (20, 28, 34), "finite and above 0"),
        ((0.1, float("inf"), 0.4), (20, 28, 34), "finite and above 0"),
        ((0.0, 0.2, 0.4), (20, 28, 34), "finite and above 0"),
        ((-0.1, 0.2, 0.4), (20, 28, 34), "finite and above 0"),
        ((0.1, 0.2, 0.4), (20, float("nan"), 34), "mAP must be finite"),
        ((0.1, 0.2, 0.2), (20, 28, 34), "same rate"),
        ((0.1, 0.2, 0.4), (1, 2, 3), "share no range"),
        ((0.1, 0.2, 0.4), (1, 2, 20), "share no range"),
        ((0.1, 0.2, 0.4), (34, 28, 20), "rises with the rate"),
    ],
)
def test_refuses_unusable_curves_on_either_side(rates, scores, message):
    good, bad = points(RATES, SCORES), points(rates, scores)
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(MeasurementError, match=message):
            bd_rate(*pair, "mAP")


@pytest.mark.parametrize("method, needed", [("akima", 3), ("cubic", 4)])
def test_says_how_many_points_the_method_needs(method, needed):
    few = points(RATES[: needed - 1], SCORES[: needed - 1])
    with pytest.raises(MeasurementError, match=f"{method} needs at least {needed} points"):
        bd_rate(points(RATES, SCORES), few, "mAP", method)


def test_refuses_unknown_method_and_metric():
    good = points(RATES, SCORES)
    with pytest.raises(MeasurementError, match="pchip"):
        bd_rate(good, good, "mAP", "linear")
    with pytest.raises(MeasurementError, match="it has \\['mAP'\\]"):
        bd_rate(good, good, "psnr")
    assert issubclass(MeasurementError, VCMError) and issubclass(MeasurementError, ValueError)


def test_point_survives_json():
    point = RPPoint(3, 0.25, 0.26, {"det_mAP": 31.5, "psnr": 28.25})
    assert RPPoint.from_dict(json.loads(json.dumps(point.to_dict()))) == point
    with pytest.raises(MeasurementError, match="bit_rate"):
        RPPoint.from_dict({**point.to_dict(), "bit_rate": 1.0})
    with pytest.raises(MeasurementError, match="bpp"):
        RPPoint.from_dict({"quality": 1, "metrics": {}})


def test_curve_is_sorted_by_rate():
    rates, scores = rp_curve(points((0.4, 0.1, 0.2), (34, 20, 28)), "mAP")
    np.testing.assert_array_equal(rates, [0.1, 0.2, 0.4])
    np.testing.assert_array_equal(scores, [20, 28, 34])


class TestMonotone:
    """MPEG's handling of curves that do not rise."""

    def test_a_curve_on_a_rising_concave_cubic_is_its_own_fit(self):
        rates = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
        x = np.log10(rates)
        curve = Curve(rates, 30 + 20 * x - 5 * x**2)
        np.testing.assert_allclose(fitted(curve).scores, curve.scores, atol=1e-3)

    def test_a_dip_is_smoothed_and_the_rates_stay(self):
        curve = Curve(np.array([0.1, 0.2, 0.4, 0.8, 1.6]), np.array([20.0, 30, 28, 36, 37]))
        fit = fitted(curve)
        assert rises(fit) and not rises(curve)
        np.testing.assert_array_equal(fit.rates, curve.rates)
        assert np.abs(fit.scores - curve.scores).max() < 4
        slopes = np.diff(fit.scores) / np.diff(np.log10(fit.rates))
        assert (np.diff(slopes) < 1e-6).all()  # concave

    def test_fit_is_for_curves_that_do_not_rise_alone(self):
        test = points([r / 2 for r in RATES], SCORES)
        assert bd_rate(points(RATES, SCORES), test, "mAP", monotone="fit").value == pytest.approx(
            bd_rate(points(RATES, SCORES), test, "mAP").value
        )

    def test_three_points_have_no_fit(self):
        with pytest.raises(MeasurementError, match="4 points"):
            fitted(Curve(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])))


def test_warns_of_crossing_curves():
    anchor = points(RATES, (20.0, 28.0, 34.0, 37.0))
    test = points(RATES, (24.0, 29.0, 33.0, 35.0))
    with pytest.warns(UserWarning, match="cross near"):
        result = bd_rate(anchor, test, "mAP")
    assert any("cross" in remark for remark in result.warnings)


def test_bd_metric_is_the_gain_at_equal_rate():
    test = points(RATES, [score + 2 for score in SCORES])
    assert bd_rate(points(RATES, SCORES), test, "mAP").bd_metric == pytest.approx(2)


def with_pictures(points, seed, header=10):
    """Points over 40 pictures whose bytes and PSNR scatter; the means are the points' own."""
    rng = np.random.default_rng(seed)
    made = []
    for point in points:
        pixels = np.full(40, 80_000)
        spread = rng.normal(1, 0.3, 40).clip(0.3)
        num_bytes = np.round(point.bpp * pixels / 8 * spread / spread.mean()).astype(int)
        score = point.metrics["mAP"] + rng.normal(0, 1, 40)
        pictures = Pictures(pixels, num_bytes, np.full(40, header), {"mAP": score})
        made.append(
            RPPoint(
                point.quality,
                float(pictures.bpp()[0]),
                metrics={"mAP": float(score.mean())},
                pictures=pictures,
            )
        )
    return made


def test_bootstrap_interval_holds_the_figure_and_is_repeatable():
    anchor = with_pictures(points(RATES, SCORES), 1)
    test = with_pictures(points([r / 2 for r in RATES], SCORES), 2)
    first = bd_rate(anchor, test, "mAP", bootstrap=Bootstrap(40, 200))
    low, high = first.bootstrap
    assert low < first.value < high and high - low > 1
    assert bd_rate(anchor, test, "mAP", bootstrap=Bootstrap(40, 200)).bootstrap == (low, high)
    assert bd_rate(anchor, anchor, "mAP", bootstrap=Bootstrap(40, 50)).bootstrap == (0, 0)


def test_without_headers_is_the_rate_of_what_is_left():
    anchor = with_pictures(points(RATES, SCORES), 1, header=400)
    test = with_pictures(points([r / 2 for r in RATES], SCORES), 2, header=0)
    bare = [RPPoint(p.quality, p.bpp - 8 * 400 / 80_000, metrics=p.metrics) for p in anchor]
    found = bd_rate(anchor, test, "mAP")
    assert found.without_headers == pytest.approx(bd_rate(bare, test, "mAP").value)
    assert found.without_headers > found.value
    assert bd_rate(bare, test, "mAP").without_headers is None


def test_points_with_pictures_survive_json():
    (point, *_) = with_pictures(points(RATES, SCORES), 3)
    again = RPPoint.from_dict(json.loads(json.dumps(point.to_dict())))
    assert again == point
    np.testing.assert_array_equal(again.pictures.num_bytes, point.pictures.num_bytes)
    damaged = point.to_dict()
    damaged["pictures"]["num_bytes"].pop()
    with pytest.raises(MeasurementError, match="39, 40"):
        RPPoint.from_dict(damaged)
