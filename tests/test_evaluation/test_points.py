"""Points are found again only for what they were measured on."""

import json

import pytest

from vcm_mt.apis.config import load_config
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.evaluation.measure import scores
from vcm_mt.evaluation.points import PointStore

POINT = {"point": {"quality": 1, "bpp": 0.1, "metrics": {}}}


def test_a_point_is_found_by_its_whole_provenance(tmp_path):
    store = PointStore(tmp_path / "points.json")
    store.add({"data": "a", "codec": "x", "qp": 22}, POINT)
    assert PointStore(tmp_path / "points.json").get({"qp": 22, "codec": "x", "data": "a"}) == POINT
    for changed in ({"data": "b"}, {"codec": "y"}, {"qp": 27}):
        assert store.get({"data": "a", "codec": "x", "qp": 22, **changed}) is None


def test_shipped_points_are_read_and_never_written(tmp_path):
    shipped = PointStore(tmp_path / "shipped.json")
    shipped.add({"qp": 22}, POINT)
    before = (tmp_path / "shipped.json").read_bytes()
    store = PointStore(tmp_path / "own.json", tmp_path / "shipped.json")
    assert store.get({"qp": 22}) == POINT
    store.add({"qp": 27}, POINT)
    assert (tmp_path / "shipped.json").read_bytes() == before
    assert len(json.loads((tmp_path / "own.json").read_text())) == 1


def test_scores_are_in_percent_and_masks_beat_boxes():
    metrics = {"det/bbox_mAP": 0.5, "segm/bbox_mAP": 0.6, "segm/segm_mAP": 0.4, "psnr": 30.0}
    found = scores({**metrics, "bpp": 0.1, "det/bbox_mAP_50": 0.8})
    assert found == {"det_mAP": 50.0, "segm_mAP": 40.0, "psnr": 30.0}


@pytest.fixture
def experiment(mini, tmp_path):
    """An experiment on four pictures with the zoo's detector."""
    config = load_config("configs/mini/stage1_det.py")
    config.test_dataloader.dataset.data_root = str(mini)
    config.test_dataloader.num_workers = 0
    config.test_dataloader.persistent_workers = False
    config.test_evaluator[1].ann_file = str(mini / "annotations" / "val.json")
    return Experiment(config, PointStore(tmp_path / "points.json"), tmp_path / "vvc")


def test_vvc_goes_through_the_detector_and_is_measured_once(experiment, monkeypatch):
    monkeypatch.setattr("vcm_mt.evaluation.experiment.VVC_QPS", (27, 47))
    points = experiment.vvc()
    assert points[0].bpp > points[1].bpp > 0
    assert points[0].metrics["psnr"] > points[1].metrics["psnr"] > 20
    assert points[0].metrics["det_mAP"] > points[1].metrics["det_mAP"]
    monkeypatch.setattr("vcm_mt.evaluation.experiment.measure", None)
    assert experiment.vvc() == points  # nothing was measured again
    streams = list(experiment.folder.rglob("*.bin"))
    assert len(streams) == 8


def test_originals_score_and_cost_nothing(experiment):
    found = experiment.originals()
    assert set(found) == {"det_mAP"}
    assert found["det_mAP"] > 20


def test_other_pictures_are_another_provenance(experiment, mini):
    before = experiment.common["data"]
    path = mini / "val" / "000000.bmp"
    original = path.read_bytes()
    try:
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        again = Experiment(experiment.config, experiment.store, experiment.folder)
        assert again.common["data"] != before
    finally:
        path.write_bytes(original)
