"""Films where a folder of pictures is taken: they are taken apart once."""

import imageio_ffmpeg
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from vcm_mt.datasets.films import folder_of
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config
from vcm_mt.training.finetune import use_pictures


def write_film(path, frames):
    writer = imageio_ffmpeg.write_frames(str(path), (64, 48), fps=5)
    writer.send(None)
    for level in range(frames):
        writer.send(np.full((48, 64, 3), 30 * level, np.uint8))
    writer.close()


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    write_film(folder / "a.mp4", 4)
    write_film(folder / "b.mkv", 6)
    return folder


def test_a_film_becomes_a_folder_once(films, tmp_path):
    frames = tmp_path / "frames"
    folder = folder_of(films / "a.mp4", frames)
    files = sorted(folder.glob("*.png"))
    assert len(files) == 4 and folder.parent == frames
    times = [file.stat().st_mtime_ns for file in files]
    assert folder_of(films / "a.mp4", frames) == folder
    assert [file.stat().st_mtime_ns for file in files] == times
    assert folder_of(folder, frames) == folder  # of pictures already
    Image.new("RGB", (8, 8)).save(films / "c.png")
    with pytest.raises(DataError, match="has films and c.png"):
        folder_of(films, frames)


def test_a_prior_is_trained_on_clips_of_films(films, tmp_path):
    DefaultScope.get_instance("test_films", scope_name="vcm_mt")
    config = load_config("configs/photos/video.py")
    config.train_dataloader.dataset = {
        "type": "vcm_mt.ClipDataset",
        "frames": 3,
        "dataset": config.train_dataloader.dataset.dataset,
    }
    use_pictures(config, folder_of(films, tmp_path / "frames"))
    clips = DATASETS.build(config.train_dataloader.dataset)
    assert len(clips) == 2 + 4  # no clip across films
    means = [[int(one["inputs"].float().mean()) for one in clips[n]] for n in range(len(clips))]
    assert all(a < b < c for a, b, c in means)
    assert [one["data_samples"].clip_place for one in clips[0]] == [0, 1, 2]
