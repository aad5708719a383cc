"""One level, several seeds."""

import pytest

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.seeds import seeds_markdown
from vcm_mt.errors import MeasurementError


def _curve(factor=1.0):
    return [RPPoint(q, factor * q / 10, metrics={"det_mAP": 20.0 + 5 * q}) for q in (1, 2, 3, 4)]


def test_a_seeds_point_takes_the_place_of_its_level():
    anchor, curve = _curve(), _curve(0.6)
    other = RPPoint(2, 0.1, metrics={"det_mAP": 30.0})
    table = seeds_markdown(
        {"ours": curve},
        anchor,
        {0: {"ours": curve[1]}, 7: {"ours": other}},
        [("ours", "det_mAP")],
    )
    _, _, first, second = table.splitlines()
    assert first.replace(" ", "") == "|0|0.1200|30.00|-40.00|"
    wanted = bd_rate(anchor, [curve[0], other, *curve[2:]], "det_mAP").value
    assert wanted < -40
    assert second.replace(" ", "") == f"|7|0.1000|30.00|{wanted:+.2f}|"


def test_what_has_no_bd_rate_is_refused():
    far = [RPPoint(q, q / 10, metrics={"det_mAP": 80.0 + q}) for q in (1, 2, 3, 4)]
    with pytest.raises(MeasurementError, match="share no range"):
        seeds_markdown({"ours": far}, _curve(), {0: {"ours": far[0]}}, [("ours", "det_mAP")])
