"""Points of R-P curves for poses, by real bytes of an anchor: the same as the metric's."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from vcm_mt.anchors import make_sweep
from vcm_mt.evaluation.codecs import AnchorCodec, Originals
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.metrics import TaskPoseMetric
from vcm_mt.models.tasks import MMPoseTask
from vcm_mt.models.tasks.mmpose_import import INSTALL
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

pytest.importorskip("mmpose", reason=INSTALL)


@pytest.fixture(scope="module")
def config(figures):
    config = load_config("configs/mini/stage2_pose.py")
    config.test_dataloader.dataset.data_root = f"{figures}/"
    config.evaluators.pose.ann_file = f"{figures}/annotations/val.json"
    return config


def by_the_metric(config):
    """The AP of originals, as training's validation computes it."""
    task = MMPoseTask("vcm_mt::mini/tasks/hrnet.py", "zoo://hrnet")
    task.freeze()
    metric = TaskPoseMetric("pose", config.evaluators.pose.ann_file)
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        dataset = DATASETS.build(config.test_dataloader.dataset)
    metric.dataset_meta = dataset.metainfo
    metric.check_pictures(dataset)
    for packed in dataset:
        x, sample = packed["inputs"][[2, 1, 0]][None] / 255, packed["data_samples"]
        sample.pred_pose = task.predict(x, [sample])[0]
        metric.process(None, [sample.to_dict()])
    return 100 * metric.evaluate(len(dataset))["pose/keypoints_mAP"]


def test_points_of_originals_and_of_real_bytes(config, tmp_path):
    experiment = Experiment(config, tmp_path)
    original = experiment.points(Originals())["shared"]
    assert original.metrics["pose_mAP"] == pytest.approx(by_the_metric(config), abs=1e-6)
    assert original.metrics["pose_mAP"] > 50
    assert original.pictures.matches["pose_mAP"].num_units == 4
    _, anchor, _ = make_sweep("jpeg@5")
    coded = experiment.points(AnchorCodec(anchor, 5, tmp_path / "streams"))["shared"]
    assert coded.bpp > 0
    assert 0 <= coded.metrics["pose_mAP"] < original.metrics["pose_mAP"]
    twice = coded.pictures.score("pose_mAP", np.array([[1.0] * 4, [2.0] * 4]))
    np.testing.assert_allclose(twice, coded.metrics["pose_mAP"], atol=1e-3)
