"""Weights fetched from a server of ours by the libraries' own loader."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from compressai.zoo.image import model_urls

from tests.conftest import ROOT
from vcm_mt.cli.download import main
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.training import weights as api
from vcm_mt.training.config import load_config
from vcm_mt.training.weights import Weights, codec_weights, named_weights

CONTENT = b"weights of some network" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]
NOBODY = "http://127.0.0.1:9"  # the port that discards


@pytest.fixture
def server(tmp_path):
    """Address of an HTTP server, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder
        http.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def download(monkeypatch, tmp_path):
    """`vcm-mt download` with its arguments; weights go below a folder of the test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return lambda *arguments: main(arguments)


@pytest.fixture
def published(server, monkeypatch):
    """CompressAI's first two levels of a codec, published on the server."""
    address, folder = server
    for level in (1, 2):
        (folder / f"mbt2018-mean-{level}-{DIGEST}.pth.tar").write_bytes(CONTENT)
    urls = {level: f"{address}/mbt2018-mean-{level}-{DIGEST}.pth.tar" for level in (1, 2)}
    monkeypatch.setitem(model_urls["mbt2018-mean"], "mse", urls)
    return folder


def test_codecs_go_where_compressai_looks(download, published, tmp_path, capsys):
    assert download("--codecs", "mbt2018-mean:1-2") == 0
    told = capsys.readouterr().out
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    assert [path.read_bytes() for path in cache.iterdir()] == [CONTENT] * 2
    assert "0.0 MB, BSD-3-Clause-Clear (CompressAI)" in told
    assert told.count(f"SHA-256 {DIGEST}... verified") == 2

    # Again: nothing is fetched, though the server has other files by now.
    for path in published.iterdir():
        path.write_bytes(b"other")
    assert download("--codecs", "mbt2018-mean") == 0
    assert "http" not in capsys.readouterr().out


def test_a_damaged_file_is_fetched_anew(download, published, tmp_path, capsys):
    (first, *_) = codec_weights("mbt2018-mean", [1])
    first.path.parent.mkdir(parents=True)
    first.path.write_bytes(CONTENT[:-1])
    assert download("--codecs", "mbt2018-mean:1") == 0
    assert "is not what is published" in capsys.readouterr().out
    assert first.path.read_bytes() == CONTENT


def test_what_has_another_digest_is_refused_and_leaves_nothing(
    download, published, tmp_path, capsys
):
    (published / f"mbt2018-mean-1-{DIGEST}.pth.tar").write_bytes(b"something else")
    assert download("--codecs", "mbt2018-mean:1-2") == 1
    told = capsys.readouterr().err
    assert "DataError: what http" in told
    assert "is not what is published there" in told
    names = [path.name for path in (tmp_path / "torch" / "hub" / "checkpoints").iterdir()]
    assert names == [f"mbt2018-mean-2-{DIGEST}.pth.tar"]  # the other one came all the same


def test_without_network_each_file_says_what_to_do(download, monkeypatch, capsys):
    urls = {1: f"{NOBODY}/a-{DIGEST}.pth", 2: f"{NOBODY}/b-{DIGEST}.pth"}
    monkeypatch.setitem(model_urls["mbt2018-mean"], "mse", urls)
    assert download("--codecs", "mbt2018-mean") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("DataError: http://127.0.0.1:9/")
        assert "put the file at" in line


def test_a_file_that_the_server_lacks(server, tmp_path):
    address, _ = server
    wanted = Weights(tmp_path / "x.pth", f"{address}/x-{DIGEST}.pth", "mmdet")
    assert wanted.size() is None
    with pytest.raises(DataError, match=r"could not be fetched \(HTTP Error 404"):
        wanted.fetch()


def test_a_configs_detector_is_found_in_mmdets_own_listing(download, server, monkeypatch, tmp_path):
    address, folder = server
    config = load_config("configs/stage2_segm.py")
    det, segm = named_weights(config)
    assert det.url.endswith(
        "/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco_20210604_182954-002e082a.pth"
    )
    assert (det.digest, segm.digest) == ("002e082a", "21b550bb")
    assert {str(det.path), str(segm.path)} == {
        config.tasks[name].checkpoint for name in ("det", "segm")
    }
    assert "Apache-2.0" in det.licence

    # The same with the listing pointing to the server, through the tool.
    name = f"segmenter-{DIGEST}.pth"
    (folder / name).write_bytes(CONTENT)
    monkeypatch.setattr(api, "_published", lambda network: f"{address}/{name}")
    given = tmp_path / "stage1.py"
    given.write_text(
        f"_base_ = '{ROOT}/configs/stage1_segm.py'\n"
        f"segm = dict(checkpoint='{tmp_path}/w/{name}')\n"
        "model = dict(codec=dict(pretrained=False), tasks=dict(segm=segm))\n"
    )
    assert download(str(given)) == 0
    assert (tmp_path / "w" / name).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "digest", "needed"),
    [("stage2_track", "76f295ef", "mmdet"), ("stage2_pose", "81c58e40", "mmpose")],
)
def test_trackers_and_estimators_are_found_in_their_packages_listings(path, digest, needed):
    pytest.importorskip(needed)
    (found,) = named_weights(load_config(f"configs/{path}.py"))
    assert (found.digest, found.source) == (digest, needed)
    assert found.url.startswith("https://") and "Apache-2.0" in found.licence


def test_the_detector_in_front_of_an_estimator_is_fetched_too():
    config = load_config("configs/stage2_det.py")
    detector = {key: config.tasks.det[key] for key in ("detector", "checkpoint")}
    config.tasks = {"pose": {"type": "MMPoseTask", "boxes": detector}}
    (found,) = named_weights(config)
    assert found.digest == "002e082a"


def test_every_stage_1_names_the_levels_codecs():
    found = named_weights(load_config("configs/stage1_det.py"))
    codecs = [weights for weights in found if weights.source == "compressai"]
    assert [w.url for w in codecs] == [w.url for w in codec_weights("mbt2018-mean", range(1, 7))]
    assert all(w.path.parent == Path(torch.hub.get_dir(), "checkpoints") for w in codecs)


def test_the_perceptual_terms_network():
    config = load_config("configs/stage2_human.py")
    config.tasks = {"human": {"perceptual": 1.0, "vgg": "weights/vgg16-397923af.pth"}}
    (vgg,) = named_weights(config)
    assert (vgg.path, vgg.digest) == (Path("weights/vgg16-397923af.pth"), "397923af")
    config.tasks.human.perceptual = 0.0
    assert not named_weights(config)


def test_yolox_comes_from_its_authors():
    (weights,) = named_weights(load_config("configs/photos/stage1_det.py"))
    assert weights.path == Path("weights/yolox_nano.pth")
    assert weights.url.startswith("https://github.com/Megvii-BaseDetection/YOLOX/releases/")
    assert weights.licence == "Apache-2.0 (YOLOX's authors)"


def test_a_detector_that_nobody_publishes_and_that_has_no_weights():
    config = load_config("configs/photos/stage1_det.py")
    config.model.tasks.det.checkpoint = None
    assert named_weights(config) == []


def test_what_needs_no_download(download, capsys):
    assert download("configs/mini/stage1_det.py") == 0
    assert "no published weights" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["mbt2018-mean:9", "mbt2018-mean:one", "vvc"])
def test_codecs_that_do_not_exist(given, download, capsys):
    assert download("--codecs", given) == 1
    assert capsys.readouterr().err.startswith("ConfigError: ")


def test_levels_are_told():
    with pytest.raises(ConfigError, match=r"level \[7\]; it has levels 1, 2, 3, 4, 5, 6"):
        codec_weights("cheng2020-anchor", [7])
