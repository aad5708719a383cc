"""Stage 2 for poses: what its config reads from a data set, and from bitstreams."""

from pathlib import Path

import pytest

from vcm_mt.errors import ConfigError
from vcm_mt.training.config import load_config
from vcm_mt.training.finetune import for_tasks, use_bitstreams, use_pictures


@pytest.fixture
def config():
    return for_tasks(load_config("configs/mini/stage2_pose.py"), ["pose"])


def kinds(config):
    return [step.type.rpartition(".")[2] for step in config.train_dataloader.dataset.pipeline]


def test_poses_are_read_beside_bitstreams(config):
    root, mirrored = use_bitstreams(config, Path("coded"), Path("stage1.pth"))
    assert (root, mirrored) == (Path("data/mini_figures/train"), True)
    wanted = ["LoadPicture", "LoadAnnotations", "RandomFlip", "LoadBitstream", "PackPoses"]
    assert kinds(config) == wanted
    assert "remember" not in config.model.tasks.pose


def test_without_maps_no_picture_is_read(config):
    config.model.tasks.pose.feature_weight = 0.0
    use_bitstreams(config, Path("coded"), Path("stage1.pth"))
    assert kinds(config) == ["LoadBitstream", "LoadAnnotations", "PackPoses"]


def test_annotations_are_needed_for_boxes_or_joints(config):
    task = config.model.tasks.pose
    task.update(loss_weight=0.0)
    with pytest.raises(ConfigError, match="pose needs annotations"):
        use_pictures(config, Path("pictures"))
    task.update(loss_weight=1.0, truth="own")
    with pytest.raises(ConfigError, match="pose needs annotations"):
        use_pictures(config, Path("pictures"))
    task.update(boxes={"detector": "mmdet::some.py"})
    use_pictures(config, Path("pictures"))
    assert kinds(config) == ["LoadPicture", "RandomFlip", "PackPoses"]


def test_people_need_no_joints():
    human = for_tasks(load_config("configs/mini/stage2_pose.py"), ["human"])
    assert "LoadAnnotations" not in kinds(human)
