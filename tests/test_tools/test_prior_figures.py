"""`vcm-mt test` on a temporal prior: bytes of whole sequences, tasks on what they decode to."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.two_processes import on_two
from tools import test as tool
from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.encoding import packets_of
from vcm_mt.apis.system import build_system
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.training.config import at_level, load_config
from vcm_mt.training.run import train

CONFIG = "configs/mini/stage1_track_video.py"
VIDEOS, FRAMES, SIZE = 3, 3, 256 * 256


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    prepare_videos(folder, sizes={"train": (1, 5), "val": (VIDEOS, FRAMES)})
    return folder


@pytest.fixture(scope="module")
def checkpoint(videos, tmp_path_factory):
    """A prior that was trained for two steps, whose stage 1 is no longer there."""
    folder = tmp_path_factory.mktemp("prior")
    stage1 = folder / "stage1" / "iter_1.pth"
    stage1.parent.mkdir()
    system = build_system(at_level(load_config("configs/mini/stage1_track.py"), 4))
    system.update_tables()
    record = {"record": json.dumps(system.record)}
    torch.save({"meta": record, "state_dict": system.state_dict()}, stage1)
    config = load_config(CONFIG, {"model.stage1": str(stage1), "train_cfg.max_iters": 2})
    config.train_dataloader.dataset.dataset.data_root = str(videos)
    config.train_dataloader.batch_size = 1
    config.default_hooks.checkpoint.interval = 2
    for name in ("val_dataloader", "val_evaluator", "val_cfg"):
        config.pop(name)
    train(config, folder / "prior")
    stage1.unlink()
    return _longer(config, find_checkpoint(folder / "prior"))


def _longer(config, checkpoint):
    """Scales as small as a long training makes them: so that pictures are predicted."""
    system = build_system(config, checkpoint)
    with torch.no_grad():
        scales, _ = system.prior.linear.bias.chunk(2)
        scales.fill_(0.2)
    system.update_tables()
    told = torch.load(checkpoint, weights_only=False)
    torch.save({**told, "state_dict": system.state_dict()}, checkpoint)
    return checkpoint


def options(videos, *more):
    truth = f"{videos}/annotations/val.json"
    data = f"test_dataloader.dataset.data_root={videos}"
    return ["--cfg-options", data, f"test_evaluator.1.ann_file={truth}", *more]


def run_test(arguments):
    """The tool's status."""
    sys.argv = ["test.py", *arguments]
    return tool.main()


@pytest.fixture(autouse=True)
def _arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", [])


def figures(checkpoint, out, *arguments):
    assert run_test([CONFIG, str(checkpoint), "--out", str(out), *arguments]) == 0
    return json.loads(out.read_text())


def sizes(checkpoint, videos, quality):
    """Bytes of every video's file."""
    transmitter = Transmitter.load(checkpoint)
    for video in sorted((videos / "val").iterdir()):
        pictures = [np.asarray(Image.open(path)) for path in sorted(video.iterdir())]
        writer = SequenceWriter(file := io.BytesIO(), (25, 1))
        for packets in packets_of(transmitter, pictures, quality):
            for packet in packets:
                writer.write(packet)
        writer.close()
        yield len(file.getvalue())


def test_bytes_are_those_of_the_files_at_the_level_that_is_asked_for(checkpoint, videos, tmp_path):
    for quality in (2, 5):
        given = ["--quality", str(quality), *options(videos)]
        told = figures(checkpoint, tmp_path / "told.json", *given)
        assert told["point"]["quality"] == quality
        assert len(told["num_bytes"]) == VIDEOS * FRAMES
        spent = np.reshape(told["num_bytes"], (VIDEOS, FRAMES)).sum(1).tolist()
        assert spent == list(sizes(checkpoint, videos, quality))
        bpp = 8 * sum(spent) / (VIDEOS * FRAMES * SIZE)
        assert told["point"]["bpp"] == pytest.approx(bpp)
        assert told["point"]["metrics"]["det_mAP"] > 0


def test_prediction_saves_and_a_key_interval_of_1_turns_it_off(checkpoint, videos, tmp_path):
    predicted, intra = (
        figures(checkpoint, tmp_path / f"{n}.json", *options(videos, f"model.key_interval={n}"))
        for n in (60, 1)
    )
    assert predicted["point"]["bpp"] < intra["point"]["bpp"]
    psnr = [one["point"]["metrics"]["psnr"] for one in (predicted, intra)]
    assert psnr[0] == pytest.approx(psnr[1], abs=0.5)


def test_receivers_decode_the_same_sequences(checkpoint, videos, tmp_path, capsys):
    out, truth = tmp_path / "out.json", f"{videos}/annotations/val.json"
    given = ["configs/mini/stage2_track.py", str(checkpoint), "--quality", "2", "--out", str(out)]
    data = [f"test_dataloader.dataset.data_root={videos}", f"evaluators.det.ann_file={truth}"]
    assert run_test([*given, "--task", "det", "--cfg-options", *data]) == 0
    point = json.loads(out.read_text())["points"]["shared"]
    assert point["pictures"]["num_bytes"] == list(sizes(checkpoint, videos, 2))
    assert f"bytes for {VIDEOS} videos" in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_measure_what_one_does(checkpoint, videos, tmp_path):
    one = figures(checkpoint, tmp_path / "one.json", *options(videos))
    out = tmp_path / "two.json"
    given = [CONFIG, str(checkpoint), "--out", str(out), "--launcher", "pytorch"]
    assert on_two(run_test, tmp_path, [*given, *options(videos)]) == [0, 0]
    assert json.loads(out.read_text()) == one
