"""The best points of several curves."""

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.fronts import front_curve
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.rp_file import RPCurve


def _curve(*points):
    return RPCurve([RPPoint(q, bpp, metrics={"mAP": score}) for q, bpp, score in points])


def test_the_front_takes_the_best_of_all_curves():
    curves = {
        "vvc": _curve((47, 0.1, 20), (42, 0.3, 30)),
        "vvc-0.5": _curve((47, 0.05, 15), (42, 0.1, 22), (37, 0.4, 25)),
        "jpeg": _curve((5, 0.01, 40)),
    }
    front = front_curve(curves, ["vvc", "vvc-0.5"], "mAP")
    found = [(point.bpp, point.metrics["mAP"]) for point in front.points]
    assert found == [(0.05, 15), (0.1, 22), (0.3, 30)]
    assert front.codec["role"] == "anchor"
    assert bd_rate(front.points, front.points, "mAP").value == 0
