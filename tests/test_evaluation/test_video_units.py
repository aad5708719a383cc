"""Videos are sent, judged, resampled and resumed whole."""

import io

import numpy as np
import pytest

from tests.small_codec import write_codec
from vcm_mt.anchors import make_sweep
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.encoding import packets_of
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.rp_file import OURS
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.codecs import Originals
from vcm_mt.evaluation.curve_set import Curves
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.evaluation.journal import Journal
from vcm_mt.evaluation.videos import FPS, TrainedSequence
from vcm_mt.report.results import compared, published, write_results
from vcm_mt.training.config import load_config
from vcm_mt.visualization import to_uint8

VIDEOS, FRAMES = 3, 4


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    prepare_videos(folder, sizes={"train": (1, 4), "val": (VIDEOS, FRAMES)})
    config = load_config("configs/mini/stage2_track.py")
    config.test_dataloader.dataset.data_root = f"{folder}/"
    for evaluator in config.evaluators.values():
        evaluator.ann_file = f"{folder}/annotations/val.json"
    return config


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return write_codec(tmp_path_factory.mktemp("codec") / "iter_1.pth", 8)


def sequence(path, interval):
    receivers = {name: Receiver.load(path) for name in ("shared", "track")}
    return TrainedSequence(Transmitter.load(path), receivers, "ours", key_interval=interval)


def test_a_unit_is_a_video_and_scores_do_not_hang_on_it(config, tmp_path):
    experiment = Experiment(config, tmp_path)
    assert experiment.data.units == [list(range(n, n + FRAMES)) for n in (0, 4, 8)]
    point = experiment.points(Originals())["shared"]
    assert point.pictures.num_pixels.tolist() == [FRAMES * 256 * 256] * VIDEOS
    for metric in ("track_HOTA", "track_MOTA", "track_IDF1", "det_mAP", "byte_HOTA"):
        assert point.pictures.matches[metric].num_units == VIDEOS
        assert point.metrics[metric] == point.pictures.score(metric)[0]
    assert 20 < point.metrics["det_mAP"] <= 100
    assert point.metrics["track_HOTA"] > 40
    assert point.pictures.score("det_mAP", np.array([[1.0, 0, 2]]))[0] > 0
    again = RPPoint.from_dict(point.to_dict())
    assert again.pictures.score("track_HOTA") == point.metrics["track_HOTA"]


def test_each_receiver_s_frames_are_followed_by_themselves(config, codec, tmp_path):
    """Two equal receivers have equal tracks, though one tracker follows both."""
    points = Experiment(config, tmp_path, ["track"]).points(sequence(codec, 1))
    assert points["shared"].metrics == points["track"].metrics


def test_bytes_are_those_of_the_sequence(config, codec, tmp_path):
    experiment = Experiment(config, tmp_path, ["det"])
    for interval in (1, 60):
        point = experiment.points(sequence(codec, interval))["shared"]
        pictures = [to_uint8(x) for _, x, _ in experiment.data.batches(range(FRAMES))]
        file = io.BytesIO()
        writer = SequenceWriter(file, FPS)
        for packets in packets_of(Transmitter.load(codec), pictures, key_interval=interval):
            for packet in packets:
                writer.write(packet)
        writer.close()
        assert point.pictures.num_bytes[0] == len(file.getvalue())
        assert 0 < point.pictures.header_bytes[0] < len(file.getvalue())


def test_without_a_prior_nothing_is_predicted(tmp_path):
    path = write_codec(tmp_path / "iter_1.pth", 0)
    sequence(path, 1)
    with pytest.raises(ConfigError, match="no temporal prior"):
        sequence(path, 60)


def test_a_stopped_pass_goes_on_with_the_next_video(config, codec, tmp_path, monkeypatch):
    whole = Experiment(config, tmp_path / "whole").points(sequence(codec, 60))["shared"]
    add, done = Journal.add, []

    def stopped(self, entry):
        add(self, entry)
        done.append(entry["index"])
        raise KeyboardInterrupt

    experiment = Experiment(config, tmp_path / "stopped")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "add", stopped)
        experiment.points(sequence(codec, 60))
    assert done == [0]
    again = experiment.points(sequence(codec, 60))["shared"]
    assert (again.bpp, again.metrics) == (whole.bpp, whole.metrics)


def test_curves_results_and_published_points(config, codec, tmp_path):
    curves = Curves(Experiment(config, tmp_path, ["track", "det"]))
    about = {"role": OURS, "name": "vcm_mt"}
    curves.add(sequence(codec, 60), {"shared": "ours", "track": "ours_track"}, about, "{}")
    curves.add_anchor(*make_sweep("vvc-ra:faster@47,37"))
    curves.add_anchor(*make_sweep("vvc-intra:faster@47,37"))
    assert [len(curves.found[name].points) for name in ("vvc-ra-faster", "ours")] == [2, 1]
    predicted, intra = (curves.found[f"vvc-{mode}-faster"].points for mode in ("ra", "intra"))
    assert predicted[0].bpp < 0.8 * intra[0].bpp
    found = curves.file({})
    assert "of 3 videos" in found.data["description"]
    kept = published(found)
    assert "track_HOTA" in kept.points("ours_track")[0].pictures.matches
    kept.save(tmp_path / "points.npz")
    again = type(found).load(tmp_path / "points.npz")
    score = again.points("vvc-ra-faster")[0].pictures.score("track_HOTA")[0]
    assert score == predicted[0].metrics["track_HOTA"]
    rates, refused = compared(found)
    assert refused or rates
    text, _ = write_results(found, tmp_path)
    assert "tracking HOTA" in text and (tmp_path / "rp_curve.png").is_file()
