"""The embedded videos, and clips of them."""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from vcm_mt.datasets.clips import ClipDataset, VideoDataset, flat_collate
from vcm_mt.datasets.mini import CLASSES
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.datasets.mini.videos import camera_of, video
from vcm_mt.datasets.sampler import Draw
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

SIZES = {"train": (3, 5), "val": (3, 4)}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    prepare_videos(folder, sizes=SIZES)
    return folder


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance("test_videos", scope_name="vcm_mt")


def frames_of(videos, flip=False):
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "video_id", "frame_id", "flip")
    pipeline = [
        {"type": "vcm_mt.LoadPicture"},
        {"type": "vcm_mt.LoadAnnotations", "with_bbox": True},
        {"type": "mmdet.RandomFlip", "prob": 0.5 if flip else 0.0},
        {"type": "mmdet.PackDetInputs", "meta_keys": keys},
    ]
    return {
        "type": "VideoDataset",
        "data_root": str(videos),
        "ann_file": "annotations/train.json",
        "data_prefix": {"img": "train/"},
        "metainfo": {"classes": CLASSES},
        "filter_cfg": {"filter_empty_gt": False},
        "pipeline": pipeline,
    }


def test_the_same_seed_gives_the_same_videos(videos, tmp_path):
    known = prepare_videos(videos, sizes=SIZES)
    assert prepare_videos(tmp_path, sizes=SIZES) == known
    assert prepare_videos(tmp_path / "other", seed=1, sizes=SIZES) != known


def test_the_annotations_are_those_of_coco_vid(videos):
    content = json.loads((videos / "annotations" / "val.json").read_text())
    assert [one["name"] for one in content["videos"]] == ["0000_still", "0001_pan", "0002_shake"]
    assert len(content["images"]) == 12
    images = {one["id"]: one for one in content["images"]}
    for thing in content["annotations"]:
        image = images[thing["image_id"]]
        assert image["video_id"] == thing["video_id"] and thing["instance_id"] >= 1
        left, top, width, height = thing["bbox"]
        assert left >= 0 and top >= 0 and left + width <= 256 and top + height <= 256
    for image in images.values():
        with Image.open(videos / "val" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])


def test_cameras_move_as_they_are_called():
    moved = {}
    for index in range(12):
        first, *_, last = (frame.picture.astype(float) for frame in video(0, "train", index, 8))
        moved.setdefault(camera_of(index), []).append(np.median(np.abs(first - last)))
    assert np.median(moved["still"]) < np.median(moved["pan"])


def test_a_clip_is_consecutive_frames_of_one_video(videos):
    clips = ClipDataset(frames_of(videos), frames=3, step=2)
    assert len(clips) == 3 and isinstance(clips.frames, VideoDataset)
    assert clips.metainfo["classes"] == CLASSES
    for number, clip in enumerate(clips):
        told = [frame["data_samples"].metainfo for frame in clip]
        assert [one["frame_id"] for one in told] == [0, 2, 4]
        assert [one["clip_place"] for one in told] == [0, 1, 2]
        assert {one["video_id"] for one in told} == {number + 1}
    batch = flat_collate([clips[0], clips[1]])
    assert [s.metainfo["video_id"] for s in batch["data_samples"]] == [1, 1, 1, 2, 2, 2]
    assert len(batch["inputs"]) == 6


def test_the_frames_of_a_clip_are_flipped_alike(videos):
    clips = ClipDataset(frames_of(videos, flip=True), frames=4)
    seen = set()
    for number in range(12):
        draw = Draw(0)
        draw.words = (7, number)
        flips = {frame["data_samples"].metainfo.get("flip", False) for frame in clips[draw]}
        assert len(flips) == 1
        seen |= flips
    assert seen == {False, True}


def test_what_is_refused(videos, tmp_path):
    with pytest.raises(ConfigError, match="1 frame or more"):
        ClipDataset(frames_of(videos), frames=0)
    with pytest.raises(DataError, match="no video is as long"):
        ClipDataset(frames_of(videos), frames=6)
    content = json.loads((videos / "annotations" / "train.json").read_text())
    del content["images"][3]["video_id"]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="has no 'video_id'"):
        ClipDataset({**frames_of(videos), "data_root": str(tmp_path)})


def test_frames_have_the_tracks_of_their_objects(tmp_path):
    prepare_videos(tmp_path, sizes={"train": (2, 3), "val": (1, 2)})
    config = load_config("configs/_base_/mini_videos.py").train_dataloader.dataset
    config.update(frames=2)
    config.dataset.update(data_root=f"{tmp_path}/")
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        clips = DATASETS.build(config)
        (first, second) = clips[0]
    told = json.loads((tmp_path / "annotations/train.json").read_text())["annotations"]
    for number, frame in enumerate((first, second)):
        wanted = [one["instance_id"] for one in told if one["image_id"] == number]
        assert frame["data_samples"].gt_instances.instances_ids.tolist() == wanted
        assert frame["data_samples"].metainfo["frame_id"] == number


def test_some_clips_run_backwards(videos):
    config = load_config("configs/_base_/mini_videos.py").train_dataloader.dataset
    config.update(frames=3, reverse=0.5)
    config.dataset.update(data_root=f"{videos}/")
    clips = DATASETS.build(config)
    ways = set()
    for seed in range(8):
        index = Draw(0)
        index.words = (seed, 0, 0)
        samples = [frame["data_samples"].metainfo for frame in clips[index]]
        assert [one["clip_place"] for one in samples] == [0, 1, 2]
        numbers = tuple(one["frame_id"] for one in samples)
        again = [frame["data_samples"].metainfo["frame_id"] for frame in clips[index]]
        assert tuple(again) == numbers
        ways.add(numbers)
    assert ways == {(0, 1, 2), (2, 1, 0)}
    with pytest.raises(ConfigError, match="runs backwards"):
        ClipDataset(config.dataset, reverse=2)
