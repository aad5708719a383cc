"""An experiment's folder: what is written there, and read again."""

import numpy as np
import pytest

from vcm_mt.cli import report as command
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.curves.rp_file import RPCurve, RPFile
from vcm_mt.errors import MeasurementError
from vcm_mt.report.results import read_results, write_results


@pytest.fixture
def found():
    def curve(factor, role):
        points = []
        for quality, score in ((1, 30.0), (2, 35.0), (3, 38.0), (4, 40.0)):
            sizes = np.array([900, 1100]) * quality
            pictures = Pictures(np.array([8000, 9000]), (factor * sizes).astype(int), np.full(2, 9))
            bpp = float(pictures.bpp()[0])
            points.append(RPPoint(quality, bpp, None, {"det_mAP": score}, pictures))
        return RPCurve(points, codec={"role": role})

    return RPFile({"vvc": curve(1, "anchor"), "ours": curve(0.5, "ours")}, {"det_mAP": 50.0})


def test_the_compact_file_alone_is_enough_for_the_page(found, tmp_path):
    _, rates = write_results(found, tmp_path)
    (tmp_path / "rp_points.json").unlink()
    (tmp_path / "rp_points.csv").unlink()
    assert read_results(tmp_path).points("ours") == found.points("ours")
    command.main([str(tmp_path), "--resamples", "0"])
    value = rates["det_mAP"]["ours"]["vvc"].value
    assert value == pytest.approx(-50, abs=0.1)
    page = (tmp_path / "report.html").read_text()
    assert f"\N{MINUS SIGN}{-value:.1f}\N{NO-BREAK SPACE}%" in page


def test_the_full_file_comes_first_even_if_it_is_damaged(found, tmp_path):
    write_results(found, tmp_path)
    (tmp_path / "rp_points.json").write_text("{}")
    with pytest.raises(MeasurementError, match=r"rp_points\.json holds no R-P points"):
        read_results(tmp_path)
