"""An experiment's folder: what is written there, and read again."""

from dataclasses import replace

import numpy as np
import pytest

from vcm_mt.cli import report as command
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.curves.rp_file import RPCurve, RPFile
from vcm_mt.errors import MeasurementError
from vcm_mt.report.results import published, read_results, write_results


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


def test_detections_are_kept_for_the_tasks_that_receivers_are_made_for(found):
    def curve(name, receiver):
        matches = Matches(
            np.ones((1, 2), np.int32), np.array([0, 1]), np.zeros(1, np.int32),
            np.ones(1, np.uint16), np.zeros(1, np.uint16),
        )  # fmt: skip
        of = found.curves[name]
        points = [
            replace(
                point,
                metrics={"det_mAP": 1.0, "segm_mAP": 1.0, "other_mAP": 1.0},
                pictures=replace(
                    point.pictures,
                    matches=dict.fromkeys(["det_mAP", "segm_mAP", "other_mAP"], matches),
                ),
            )
            for point in of.points
        ]
        return RPCurve(points, codec={**of.codec, "receiver": receiver})

    whole = RPFile(
        {
            "vvc": curve("vvc", "shared"),
            "ours": curve("ours", "shared"),
            "ours_det": curve("ours", "det"),
            "ours_segm": curve("ours", "segm"),
        }
    )
    slim = published(whole)
    kept = {name: set(one.points[0].pictures.matches) for name, one in slim.curves.items()}
    assert kept == {
        "vvc": {"det_mAP", "segm_mAP"},
        "ours": {"det_mAP", "segm_mAP"},
        "ours_det": {"det_mAP"},
        "ours_segm": {"segm_mAP"},
    }
    assert all(p.metrics["other_mAP"] == 1 for p in slim.points("ours"))
    bare = published(RPFile({name: whole.curves[name] for name in ("vvc", "ours")}))
    assert set(bare.points("ours")[0].pictures.matches) == {"det_mAP", "segm_mAP", "other_mAP"}
