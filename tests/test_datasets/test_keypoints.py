"""Keypoints from a file through the pipeline to a data sample, and what is refused on the way."""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from vcm_mt.datasets.keypoints import COCO_SIGMAS, flip_indices, read_poses
from vcm_mt.datasets.mini.figures import JOINTS
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.registry import DATASETS

KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "flip", "flip_direction")


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance("test_keypoints", scope_name="vcm_mt")


def built(root, *steps, classes=("figure",), load=True):
    loading = {"type": "vcm_mt.LoadAnnotations", "with_bbox": True, "with_keypoints": load}
    return DATASETS.build(
        {
            "type": "CheckedCocoDataset",
            "data_root": str(root),
            "ann_file": "annotations/train.json",
            "data_prefix": {"img": "train/"},
            "metainfo": {"classes": classes},
            "filter_cfg": {"filter_empty_gt": False},
            "pipeline": [
                {"type": "vcm_mt.LoadPicture"},
                loading,
                *steps,
                {"type": "vcm_mt.PackPoses", "meta_keys": KEYS},
            ],
        }
    )


def truth_of(packed):
    return packed["data_samples"].gt_instances


@pytest.fixture
def changed(figures, tmp_path):
    """Writes the figures' annotations anew, with a change; the pictures are the same."""

    def change(how):
        content = json.loads((figures / "annotations" / "train.json").read_text())
        how(content)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / "train.json").write_text(json.dumps(content))
        if not (tmp_path / "train").exists():
            (tmp_path / "train").symlink_to(figures / "train")
        return tmp_path

    return change


def test_keypoints_are_those_of_the_file(figures):
    dataset = built(figures)
    content = json.loads((figures / "annotations" / "train.json").read_text())
    for number in range(len(dataset)):
        own = [one for one in content["annotations"] if one["image_id"] == number]
        wanted = np.array([one["keypoints"] for one in own]).reshape(len(own), 13, 3)
        truth = truth_of(dataset[number])
        np.testing.assert_allclose(truth.keypoints.numpy(), wanted[..., :2], atol=1e-4)
        assert (truth.keypoints_visible.numpy() == (wanted[..., 2] > 0)).all()
        assert len(truth.bboxes) == len(truth.labels) == len(own)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_a_mirror_image_changes_left_and_right(figures, direction):
    plain = truth_of(built(figures)[0])
    flip = {"type": "vcm_mt.RandomFlip", "prob": 1.0, "direction": direction}
    flipped = truth_of(built(figures, flip)[0])
    swapped = direction != "diagonal"
    knee = JOINTS.index("right_knee" if swapped else "left_knee")
    x, y = plain.keypoints[:, JOINTS.index("left_knee")].unbind(-1)
    wanted_x = 255 - x if direction != "vertical" else x
    wanted_y = 255 - y if direction != "horizontal" else y
    assert flipped.keypoints[:, knee].T.tolist() == [wanted_x.tolist(), wanted_y.tolist()]
    assert (
        flipped.keypoints[:, 0, 0].tolist()
        == (
            255 - plain.keypoints[:, 0, 0] if direction != "vertical" else plain.keypoints[:, 0, 0]
        ).tolist()
    )  # the head stays the head


def test_pairs_are_known_by_their_names():
    names = ("nose", "left_eye", "right_eye", "tail", "r_hip", "l_hip")
    assert flip_indices(names) == [0, 2, 1, 3, 5, 4]


@pytest.mark.parametrize(
    "step",
    [
        {"type": "mmdet.RandomFlip", "prob": 1.0},
        {"type": "mmdet.Resize", "scale": (128, 128), "keep_ratio": True},
        {"type": "mmdet.RandomCrop", "crop_size": (100, 100)},
    ],
)
def test_keypoints_that_stay_behind_are_noticed(figures, step):
    with pytest.raises((ConfigError, DataError), match="not its keypoints|cannot be used"):
        built(figures, step)[0]


def test_missing_keypoints_are_told(changed):
    root = changed(lambda content: content["annotations"][0].pop("keypoints"))
    with pytest.raises(DataError, match="has no keypoints: annotate its 13 joints"):
        built(root)[0]
    assert len(truth_of(built(root, load=False)[0]).bboxes)  # boxes alone are fine
    with pytest.raises(DataError, match="annotation 1, which has no keypoints"):
        read_poses(f"{root}/annotations/train.json", ("figure",), "pose")


def test_another_number_of_joints_is_told(changed):
    def shorten(content):
        content["annotations"][0]["keypoints"] = content["annotations"][0]["keypoints"][:-3]

    root = changed(shorten)
    with pytest.raises(DataError, match="has 12 keypoints, and its category names 13"):
        built(root)[0]
    with pytest.raises(DataError, match="has 12 keypoints, and its category names 13"):
        read_poses(f"{root}/annotations/train.json", ("figure",), "pose")


def test_values_that_are_no_numbers_are_told(changed):
    def spoil(content):
        content["annotations"][0]["keypoints"][0] = None

    with pytest.raises(DataError, match="not finite"):
        built(changed(spoil))[0]


def test_a_set_without_joints_is_told(mini, changed):
    with pytest.raises(DataError, match="has no keypoints: take annotations whose categories"):
        built(mini, classes=("digit_1",))[0]
    with pytest.raises(DataError, match="is it person_keypoints"):
        read_poses(f"{mini}/annotations/train.json", ("digit_1",), "pose")


def test_crowds_need_no_keypoints(changed):
    def crowd(content):
        content["annotations"][0].update(iscrowd=1)
        content["annotations"][0].pop("keypoints")

    root = changed(crowd)
    sample = built(root)[0]["data_samples"]
    assert len(sample.ignored_instances) == 1
    assert len(sample.gt_instances.keypoints) == len(sample.gt_instances)
    truth, _ = read_poses(f"{root}/annotations/train.json", ("figure",), "pose")
    assert truth.anns[1]["num_keypoints"] == 0


def test_sigmas_are_the_metrics_the_files_or_cocos(changed):
    def bare(content):
        content["categories"][0].pop("sigmas")

    root = changed(bare)
    path = f"{root}/annotations/train.json"
    with pytest.raises(ConfigError, match="13 joints and 0 sigmas"):
        read_poses(path, ("figure",), "pose")
    assert read_poses(path, ("figure",), "pose", [0.1] * 13).sigmas == (0.1,) * 13

    def persons(content):
        content["categories"][0].update(keypoints=[f"joint_{n}" for n in range(17)])
        content["categories"][0].pop("sigmas")
        for one in content["annotations"]:
            one["keypoints"] = [1.0] * 51

    changed(persons)
    assert read_poses(path, ("figure",), "pose").sigmas == COCO_SIGMAS
