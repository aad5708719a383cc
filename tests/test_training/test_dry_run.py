"""A rehearsal says what a training would find, and leaves nothing behind."""

import json
import shutil

import pytest
from PIL import Image

from tests.conftest import run_tool
from vcm_mt.errors import DataError
from vcm_mt.training import dry_run as api
from vcm_mt.training.dry_run import dry_run
from vcm_mt.training.dry_run_report import dry_run_report
from vcm_mt.training.survey import survey


@pytest.fixture
def own_set(stage1_config, mini, tmp_path):
    """The config, over a copy of the very small set that a test may spoil."""
    folder = tmp_path / "set"
    shutil.copytree(mini, folder)
    for split in ("train", "val", "test"):
        stage1_config[f"{split}_dataloader"].dataset.data_root = str(folder)
    for name in ("val_evaluator", "test_evaluator"):
        stage1_config[name][1].ann_file = str(folder / "annotations" / "val.json")
    return stage1_config, folder


def test_it_takes_one_step_and_one_look_and_writes_nothing(stage1_config, tmp_path):
    found = dry_run(stage1_config, tmp_path / "work" / "q1")
    train, val = found.data
    assert (train.pictures, val.pictures) == (6, 4)
    assert (train.read, val.read) == (6, 4)
    assert train.size == (256, 256)
    assert found.weights == ["det: random weights"]
    assert found.one.pictures == 1
    assert found.step.pictures == found.batch == 2
    assert 0 < found.step.loss < 1e4
    assert found.evaluation.coding["num_bytes"] > 0
    assert found.evaluation.metrics["bpp"] > 0
    assert found.trained > 0
    assert found.frozen > found.trained
    assert found.needed >= found.fixed
    assert found.checkpoints == 3  # two are kept while the next is written
    assert found.problems == []
    assert not (tmp_path / "work").exists()
    told = dry_run_report(found)
    assert told.splitlines()[-1] == "verdict     ready to train"
    assert f"checkpoints of {found.checkpoint_bytes / 1e9:.3f} GB in {tmp_path}" in told


def test_what_does_not_fit_is_told_with_what_would(stage1_config, tmp_path, monkeypatch):
    stage1_config.train_dataloader.batch_size = 7
    megabyte = 1 << 20
    peaks = iter([100 * megabyte, 150 * megabyte, 150 * megabyte])
    monkeypatch.setattr(api, "_peak", lambda: next(peaks))
    monkeypatch.setattr(api, "_memory", lambda: 320 * megabyte)
    monkeypatch.setattr(api.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9, 9, 0))
    found = dry_run(stage1_config, tmp_path / "work")
    assert found.needed == (100 + 7 * 50) * megabyte
    assert found.step is None
    memory, disk = found.problems
    assert memory.endswith("set train_dataloader.batch_size=4")
    assert "give another --work-dir" in disk
    assert dry_run_report(found).splitlines()[-1].startswith("verdict     not ready")


def test_every_broken_picture_of_the_sample_is_told(own_set, tmp_path):
    config, folder = own_set
    pictures = sorted((folder / "train").iterdir())
    pictures[1].write_bytes(b"no picture")
    Image.new("RGB", (200, 100)).save(pictures[3])
    sorted((folder / "val").iterdir())[0].unlink()
    with pytest.raises(DataError) as told:
        dry_run(config, tmp_path / "work")
    assert f"{pictures[1]} is not a readable picture" in str(told.value)
    assert f"{pictures[3]} is 200x100, its annotation 256x256" in str(told.value)
    assert len(str(told.value).splitlines()) == 4  # and the one of the validation set


def test_a_batch_is_of_the_largest_pictures_of_one_orientation(own_set):
    from mmengine.registry import DefaultScope

    from vcm_mt.registry import DATASETS

    config, folder = own_set
    path = folder / "annotations" / "train.json"
    listing = json.loads(path.read_text())
    sizes = [(640, 480), (500, 600), (640, 640), (100, 100), (650, 640), (300, 900)]
    for picture, (width, height) in zip(listing["images"], sizes, strict=True):
        picture |= {"width": width, "height": height}
    path.write_text(json.dumps(listing))
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        found = survey("train", DATASETS.build(config.train_dataloader.dataset))
    assert found.size == (650, 640)
    assert found.largest == [4, 2, 0, 3]
    assert len(found.broken) == 6  # no annotation fits its picture any more
    config.train_dataloader.dataset.pipeline = config.val_dataloader.dataset.pipeline
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        found = survey("train", DATASETS.build(config.train_dataloader.dataset))
    assert found.broken[0].endswith(" is 256x256, its annotation 640x480")


def test_from_the_command_line(mini, tmp_path):
    from tests.conftest import small_options

    options = [f"{key}={value}" for key, value in small_options(mini).items()]
    work_dir = tmp_path / "work"
    done = run_tool(
        "train", "configs/mini/stage1_det.py", "--dry-run", "--work-dir", str(work_dir),
        "--cfg-options", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"in {work_dir}/q6," in done.stdout  # the last level
    assert done.stdout.endswith("ready to train\n")
    assert not work_dir.exists()


def test_everything_missing_comes_in_one_message(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    done = run_tool("train", "configs/stage1_det_segm.py", "--dry-run")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in (
        "data/coco/annotations/instances_train2017.json",
        "data/coco/val2017",
        "-002e082a.pth",
        "-21b550bb.pth",
        f"{tmp_path}/hub/checkpoints/mbt2018-mean-6-a19628ab.pth.tar",
        "vcm-mt download",
    ):
        assert name in done.stderr
