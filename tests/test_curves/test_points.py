"""Points are measured once, by one pass for all tasks, and found again only for what they are."""

import json

import numpy as np
import pytest
import torch

from vcm_mt.anchors import VVC
from vcm_mt.apis.system import build_system
from vcm_mt.curves.points import PointStore
from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import ConfigError, MeasurementError
from vcm_mt.evaluation.codecs import AnchorCodec, Originals
from vcm_mt.evaluation.experiment import Experiment, untrained
from vcm_mt.evaluation.measure import measure, scores
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.training.config import load_config

POINTS = {"shared": RPPoint(1, 0.1, None, {"psnr": 30.0})}


def test_a_point_is_found_by_its_whole_provenance(tmp_path):
    store = PointStore(tmp_path)
    store.add({"data": "a", "codec": "x", "qp": 22}, {"det": ["d"]}, POINTS)
    (record,) = PointStore(tmp_path).records({"qp": 22, "codec": "x", "data": "a"})
    assert record["tasks"] == {"det": ["d"]}
    assert RPPoint.from_dict(record["points"]["shared"]) == POINTS["shared"]
    for changed in ({"data": "b"}, {"codec": "y"}, {"qp": 27}):
        assert store.records({"data": "a", "codec": "x", "qp": 22, **changed}) == []


def test_shipped_points_are_read_and_never_written(tmp_path):
    own = PointStore(tmp_path / "first")
    own.add({"qp": 22}, {}, POINTS)
    shipped = tmp_path / "shipped.json"
    shipped.write_text(json.dumps(own.records({"qp": 22})))
    before = shipped.read_bytes()
    store = PointStore(tmp_path / "second", shipped)
    assert len(store.records({"qp": 22})) == 1
    store.add({"qp": 27}, {}, POINTS)
    assert shipped.read_bytes() == before
    assert len(list((tmp_path / "second").iterdir())) == 1


def test_scores_are_in_percent_and_masks_beat_boxes():
    metrics = {"det/bbox_mAP": 0.5, "segm/bbox_mAP": 0.6, "segm/segm_mAP": 0.4, "psnr": 30.0}
    found = scores({**metrics, "bpp": 0.1, "det/bbox_mAP_50": 0.8})
    assert found == {"det_mAP": 50.0, "segm_mAP": 40.0, "psnr": 30.0}


@pytest.fixture(scope="module")
def config(mini):
    """The zoo's networks on four pictures."""
    config = load_config("configs/mini/stage2_segm.py")
    config.test_dataloader.dataset.data_root = str(mini)
    for evaluator in config.evaluators.values():
        evaluator.ann_file = str(mini / "annotations" / "val.json")
    return config


@pytest.fixture
def codec_config(mini, config):
    """An MSE codec of the zoo and the zoo's detector."""
    codec = load_config("configs/mini/stage1_det.py")
    codec.model.codec.checkpoint = "zoo://mse_1"
    codec.model.lmbda = 0.5
    codec.test_dataloader = config.test_dataloader
    codec.test_evaluator[1].ann_file = str(mini / "annotations" / "val.json")
    return codec


def test_vvc_goes_through_the_detector_and_is_measured_once(config, tmp_path, monkeypatch):
    experiment = Experiment(config, tmp_path, ["det"])
    codecs = [AnchorCodec(VVC(), qp, tmp_path / "streams") for qp in (27, 47)]
    fine, coarse = (experiment.points(codec)["shared"] for codec in codecs)
    assert fine.bpp > coarse.bpp > 0
    assert fine.metrics["psnr"] > coarse.metrics["psnr"] > 20
    assert fine.metrics["det_mAP"] > coarse.metrics["det_mAP"]
    assert len(list((tmp_path / "streams").rglob("*.bin"))) == 8
    monkeypatch.setattr(AnchorCodec, "send", None)  # nothing is measured again
    again = Experiment(config, tmp_path, ["det"])
    assert again.points(codecs[0])["shared"] == fine


def test_a_task_that_comes_later_needs_a_pass_of_its_own_alone(config, tmp_path, monkeypatch):
    first = Experiment(config, tmp_path, ["det"]).points(Originals())["shared"]
    seen = []
    judge = TestSet.judge
    monkeypatch.setattr(
        TestSet, "judge", lambda self, *a: seen.append(list(a[-1])) or judge(self, *a)
    )
    both = Experiment(config, tmp_path, ["det", "segm"]).points(Originals())["shared"]
    assert seen == [["segm"]] * 4
    at_once = Experiment(config, tmp_path / "b", ["det", "segm"]).points(Originals())["shared"]
    assert both == at_once
    assert both.metrics["det_mAP"] == first.metrics["det_mAP"] > 20


def test_passes_that_disagree_on_the_bytes_are_refused(config, tmp_path):
    experiment = Experiment(config, tmp_path, ["det"])
    experiment.points(Originals())
    (path,) = tmp_path.glob("points/*/points.json")
    record = json.loads(path.read_text())
    record["points"]["shared"]["bpp"] = 0.5
    path.write_text(json.dumps(record))
    with pytest.raises(MeasurementError, match="in another"):
        Experiment(config, tmp_path, ["det", "segm"]).points(Originals())


def test_scores_are_those_of_the_configs_metric(config, codec_config, tmp_path):
    codec = untrained(codec_config, "mse", 1)
    point = Experiment(config, tmp_path, ["det"]).points(codec)["shared"]
    theirs = measure(build_system(codec_config), codec_config, "mse")
    assert point.bpp == theirs.metrics["bpp"]
    assert point.pictures.num_bytes.tolist() == theirs.num_bytes
    assert point.bpp_estimated == pytest.approx(theirs.metrics["bpp_estimated"], rel=1e-6)
    assert point.metrics["psnr"] == pytest.approx(theirs.metrics["psnr"], rel=1e-6)
    shown = 100 * theirs.metrics["det/bbox_mAP"]
    assert point.metrics["det_mAP"] == pytest.approx(shown, abs=1e-9) and shown > 20


def test_bit_map_adds_up_to_the_estimate(codec_config):
    codec = untrained(codec_config, "mse", 1)
    picture = torch.rand(1, 3, 97, 130)
    sent = codec.send(picture)["shared"]
    bits = codec.bit_map(picture)
    assert bits.shape == (128 // 16, 192 // 16)  # of the picture padded to multiples of 64
    assert bits.sum() == pytest.approx(sent.bits_estimated, rel=1e-4)
    assert (bits >= 0).all() and 0 < sent.header_bytes < sent.num_bytes


def test_other_pictures_are_other_data(config, mini):
    before = TestSet(config, ["det"]).data_digest
    path = mini / "val" / "000000.bmp"
    original = path.read_bytes()
    try:
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert TestSet(config, ["det"]).data_digest != before
    finally:
        path.write_bytes(original)


def test_unknown_task_is_told_with_the_known(config):
    with pytest.raises(ConfigError, match="no task 'human'.*det, segm"):
        TestSet(config, ["human"])


def test_pictures_and_batches_are_the_same_in_order(config):
    data = TestSet(config, ["det"])
    files = data.pictures([2, 0])
    assert len(files) == 2
    for (index, picture, _), pixels, wanted in zip(
        data.batches([2, 0]), files, (2, 0), strict=True
    ):
        assert index == wanted
        np.testing.assert_array_equal((255 * picture[0]).permute(1, 2, 0).round(), pixels)


def test_records_are_packed_and_found_again(tmp_path):
    first = PointStore(tmp_path / "a")
    first.add({"codec": "vvc", "qp": 32}, {"det": ["n"]}, {"shared": RPPoint(32, 0.1)})
    first.add({"codec": "ours"}, {"det": ["n"]}, {"shared": RPPoint(1, 0.2)})
    first.pack(tmp_path / "kept.json.xz", lambda record: "qp" in record["of"])
    second = PointStore(tmp_path / "b", tmp_path / "kept.json.xz")
    (record,) = second.records({"codec": "vvc", "qp": 32})
    assert record["points"]["shared"]["bpp"] == 0.1
    assert not second.records({"codec": "ours"})
    second.add({"codec": "vvc", "qp": 37}, {"det": ["n"]}, {"shared": RPPoint(37, 0.05)})
    second.pack(tmp_path / "both.json.xz", lambda record: True)
    third = PointStore(tmp_path / "c", tmp_path / "both.json.xz")
    assert all(third.records({"codec": "vvc", "qp": qp}) for qp in (32, 37))


def test_damaged_records_are_told(tmp_path):
    (tmp_path / "kept.json.xz").write_bytes(b"nothing")
    with pytest.raises(MeasurementError, match=r"kept\.json\.xz is missing or damaged"):
        PointStore(tmp_path, tmp_path / "kept.json.xz")
    with pytest.raises(MeasurementError, match="missing or damaged"):
        PointStore(tmp_path, tmp_path / "none.json.xz")
