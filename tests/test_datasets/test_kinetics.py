"""Videos in Kinetics' form are taken apart; pictures and maps in Cityscapes' form are read."""

import json

import imageio_ffmpeg
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from vcm_mt.cli.main import main
from vcm_mt.datasets.kinetics import convert_kinetics
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config


@pytest.fixture
def films(tmp_path):
    """Two films of six frames, 48x32."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(2):
        writer = imageio_ffmpeg.write_frames(str(folder / f"f{number}.mp4"), (48, 32), fps=6)
        writer.send(None)
        for level in range(6):
            writer.send(np.full((32, 48, 3), 40 * level + number, np.uint8))
        writer.close()
    (tmp_path / "val.txt").write_text("f0.mp4 1\nf1.mp4 0\n")
    return folder


def test_a_video_and_its_action(films, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "names.txt").write_text("run\njump\n")
    main(["prepare", "clips", "--clips", str(films), "--list", str(tmp_path / "val.txt"), "--out",
          str(out), "--actions", str(tmp_path / "names.txt"), "--frames", "4"])  # fmt: skip
    assert "8 frames" in capsys.readouterr().out
    told = json.loads((out / "annotations" / "val.json").read_text())
    assert [one["name"] for one in told["actions"]] == ["run", "jump"]
    assert [one["action_id"] for one in told["videos"]] == [2, 1]
    DefaultScope.get_instance("test_kinetics", scope_name="vcm_mt")
    config = load_config("configs/stage1_action.py").val_dataloader.dataset
    config.update(data_root=f"{out}/", ann_file="annotations/val.json")
    data = DATASETS.build(config)
    samples = [data[n]["data_samples"] for n in range(len(data))]
    assert [one.action for one in samples] == [1] * 4 + [0] * 4
    assert samples[3].frame_id + 1 == samples[3].video_length == 4
    before = (out / "f0" / "000000.png").stat().st_mtime_ns
    assert convert_kinetics(tmp_path / "val.txt", films, out, most=4) == 8
    assert (out / "f0" / "000000.png").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("f0.mp4", "line 1 is no video's name and action"),
        ("f0.mp4 x", "line 1 is no video's name and action"),
        ("f9.mp4 0", r"1 of the 1 videos of .* are not in"),
        ("f0.mp4 7", "has action 7, and 2 have a name"),
    ],
)
def test_lists_that_are_refused(films, tmp_path, line, told):
    (tmp_path / "val.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=told):
        convert_kinetics(tmp_path / "val.txt", films, tmp_path / "out", ["a", "b"])


def test_maps_in_files(tmp_path):
    for split, value in (("leftImg8bit", 90), ("gtFine", 3)):
        (tmp_path / split / "val" / "ulm").mkdir(parents=True)
        end, mode = ("leftImg8bit", "RGB") if value == 90 else ("gtFine_labelTrainIds", "L")
        picture = Image.new(mode, (40, 24), (value,) * 3 if mode == "RGB" else value)
        picture.save(tmp_path / split / "val" / "ulm" / f"ulm_0_{end}.png")
    DefaultScope.get_instance("test_kinetics", scope_name="vcm_mt")
    config = load_config("configs/stage1_sem.py").val_dataloader.dataset
    config.data_root = f"{tmp_path}/"
    data = DATASETS.build(config)
    (sample,) = [data[n]["data_samples"] for n in range(len(data))]
    assert sample.gt_sem_seg.sem_seg.shape == (1, 24, 40)
    assert (sample.gt_sem_seg.sem_seg == 3).all() and sample.img_shape == (24, 40)
    assert data.get_data_info(0)["width"] == 40
    (tmp_path / "gtFine/val/ulm/ulm_0_gtFine_labelTrainIds.png").unlink()
    with pytest.raises(DataError, match=r"has no map of classes: .*labelTrainIds.png is missing"):
        DATASETS.build(config)
